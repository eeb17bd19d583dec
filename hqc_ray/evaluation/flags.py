"""The audit's flags and notes: what each one means, and what to do about it."""

from __future__ import annotations

FLAGS: dict[str, str] = {
    "rises_with_epsilon": (
        "robust accuracy is significantly higher than at a smaller epsilon of the same attack on the same images, though every "
        "smaller perturbation was allowed here too: the search failed; read the worst case, and use more steps or smaller ones."
    ),
    "pgd_weaker_than_fgsm": (
        "an attack of many gradient steps, such as PGD, leaves significantly more images right than one step of FGSM in the same "
        "ball: its steps are too few, too small or too large, or gradients are masked; change `steps` and `step_size` and add "
        "restarts."
    ),
    "noise_as_strong": (
        "random noise of the same size fools images, and the attack does not significantly fool more: its gradient carries no "
        "information (of a transferred one: none about this model), or too few images were evaluated; evaluate more, then look "
        "for masked gradients."
    ),
    "no_better_than_nothing": (
        "the attack does not significantly fool anybody, though epsilon is at least twice what would take half of the images if "
        "the model were as steep all the way as it is at the images: the attack does nothing, or is led astray; look at its "
        "steps and at the model's gradients, and add another attack, before you call this robust."
    ),
    "transfer_stronger": (
        "an attack that needs no gradient of this model (found on another one, black-box such as `square`, or noise) leaves "
        "significantly fewer images right than every attack along the model's own gradients in the same ball; both are flagged: "
        "the attacks along the gradients failed, and their accuracies are too high; read the worst case, and look for masked "
        "gradients."
    ),
    "trapped": (
        "descent on the head alone, from the images' own pre-activations, ends where the head is still right for more than 2 % "
        "of them, and two at least: gradients of the loss drive the bottleneck into a corner that they do not leave (or an MLP "
        "to where its units are dead), and no attack in this ball aims past it; add `{name: bottleneck}` (to an MLP of more than "
        "12 hidden units, an attack without gradients), and read no robustness out of these rows until then."
    ),
    "dominated": (
        "at least three images that this attack left right fell to another at the same or a smaller epsilon, though it follows "
        "the model's own gradients for more than one step: its accuracy is too high by these; read the worst case."
    ),
    "plateau": (
        "robust accuracy is not shown to fall over a doubling of epsilon or more, with images left that could, though the "
        "smaller epsilon fooled many: the search is stuck, which is no robustness; read the worst case, and add "
        "`{name: bottleneck}`."
    ),
    "certificate_contradicted": (
        "the attack succeeded where a certificate says that nothing can: one of them is wrong, or the model that judged is not "
        "the one that was certified; believe neither, and report it."
    ),
    "survives_unbounded": (
        "more images stay right than chance explains, though epsilon lets all become the same one (grey): the attack failed, "
        "the model is not robust; check its gradients and steps."
    ),
    "candidates_not_finite": (
        "the attack gave NaN or infinity for some images, which count as not fooled: its step divides by nothing or overflows; "
        "mend the attack, robust accuracy is too high."
    ),
    "accuracies_differ": (
        "all images of the test part were evaluated on an exact device, and yet test accuracy and clean accuracy differ: the two "
        "did not see the same images, labels or model; look for a source whose images or their order change between two reads, "
        "a file that was replaced meanwhile, or a backbone that is another one in every process."
    ),
    "random_outputs": (
        "the same images, asked again, give other logits: the model draws random numbers, and each accuracy is that of one draw; "
        "fix its seed, or attack the mean of many draws."
    ),
    "depends_on_batch": (
        "an image's logits change with the images beside it: statistics of the batch are in use, such as BatchNorm's in training "
        "mode, so that attacks move their neighbours and accuracies depend on `batch_size`; put the model into evaluation mode."
    ),
    "targets_beat_loss": (
        "an attack that aims at points where the model is wrong, such as `bottleneck`, leaves significantly fewer images right "
        "in the same ball than this attack along the loss: the loss leads into corners; believe the attack that aims."
    ),
    "softmax_output": (
        "the model's outputs look like probabilities, on which the loss saturates and gradients vanish: attack its logits."
    ),
    "bad_gradients": (
        "the input gradient is zero or not finite for more than 5 % of the attacked images, so that a gradient attack does "
        "nothing to them: look for saturated angles, a dead embedding or dead units, and add a black-box attack."
    ),
    "gradients_wrong": (
        "input gradients are not the slopes of the loss, by differences of outputs on a few images: an attack along them goes "
        "astray, which is no robustness; look for detached parts and hand-written backward passes, mend them, or attack without "
        "gradients (`square`). An estimate that leads the right way, such as a good straight-through one, is not flagged."
    ),
    "dead_inputs": (
        "some wires of the bottleneck (without one all features) move no logit of any image: the model is smaller than it says, "
        "or ignores its images; look for an embedding that nothing depends on, such as RZ on |0>, or gates that reach no readout."
    ),
    "noise_inactive": (
        "the device is a noisy one, and yet every logit is the ideal circuit's: the noise did not act, and the row is one of an "
        "ideal device; look for a noise model without errors on the gates that are run."
    ),
    "near_chance": (
        "the interval of the clean accuracy reaches down to chance, one over the number of classes: the robustness of a model "
        "that learnt nothing means nothing; train it longer or on more data."
    ),
    "surrogate_inexact": (
        "the surrogate differs from its circuit by more than 1e-8, or a measured one by more than six of its standard errors, so "
        "that the attack saw another model than the one judged: run the cell in native mode, or fit the degree that the "
        "embedding needs; a machine may have drifted: measure again, with another seed."
    ),
}

SHORT: dict[str, str] = {  # each flag in a few words, for a sentence that counts them
    "rises_with_epsilon": "more right than at a smaller epsilon, so the search failed",
    "pgd_weaker_than_fgsm": "many steps fool fewer than one",
    "noise_as_strong": "random noise fools as many",
    "no_better_than_nothing": "hardly anybody is fooled at an epsilon that should do",
    "transfer_stronger": "what needs no gradient of the model fools more than all its gradients",
    "trapped": "gradients end in corners where the head is right",
    "dominated": "another attack fooled images that this one left right",
    "plateau": "no more fall while epsilon doubles",
    "certificate_contradicted": "an attack broke what a certificate excludes",
    "survives_unbounded": "images stay right where all could be the same grey",
    "candidates_not_finite": "the attack gave NaN or infinity",
    "accuracies_differ": "test and clean accuracy differ on the same images",
    "random_outputs": "the same images give other outputs when asked again",
    "depends_on_batch": "outputs depend on the other images of the batch",
    "targets_beat_loss": "an attack that aims fools more than this one along the loss",
    "softmax_output": "outputs look like probabilities, on which gradients vanish",
    "bad_gradients": "input gradients are zero or not finite",
    "gradients_wrong": "input gradients are not the slopes of the loss",
    "dead_inputs": "inputs of the head that move no output",
    "noise_inactive": "the device's noise did not act",
    "near_chance": "clean accuracy is not shown to be above chance",
    "surrogate_inexact": "the surrogate is not exactly its circuit",
}

NOTES: dict[str, str] = {
    "random_weights": "the backbone's weights are random, not pretrained: such rows test the tool, not the published model.",
    "between_grey_levels": (
        "some epsilons of pixels are no whole number of grey levels (1/255 each): in linf, an image of 8 bits reaches only the "
        "whole number below, and `robust_accuracy_8bit` is of that smaller ball."
    ),
    "lost_in_rounding": (
        "of some attacks' images over 5 % more are right once they are rounded to grey levels (`robust_accuracy_8bit`): these "
        "perturbations end just behind the boundary, and do not survive being saved as an image of 8 bits."
    ),
    "no_noise_control": (
        "some attacks have no `noise` control at the same level, norm and epsilon: without it nobody can say that an attack does "
        "more than noise; add `{name: noise}` to the attacks of the sweep."
    ),
}
