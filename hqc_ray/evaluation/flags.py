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
    "transfer_stronger": (
        "an attack found on another model leaves significantly fewer images right than every attack on the model itself in the "
        "same ball; both are flagged: the attacks on the model itself failed, and their accuracies are too high; read the worst "
        "case, and look for masked gradients."
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
    "softmax_output": (
        "the model's outputs look like probabilities, on which the loss saturates and gradients vanish: attack its logits."
    ),
    "bad_gradients": (
        "the input gradient is zero or not finite for more than 5 % of the attacked images, so that a gradient attack does "
        "nothing to them: look for saturated angles, a dead embedding or dead units, and add a black-box attack."
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

NOTES: dict[str, str] = {
    "random_weights": "the backbone's weights are random, not pretrained: such rows test the tool, not the published model.",
    "no_noise_control": (
        "some attacks have no `noise` control at the same level, norm and epsilon: without it nobody can say that an attack does "
        "more than noise; add `{name: noise}` to the attacks of the sweep."
    ),
}
