# Table 1: classification by prompts alone. Only the local score embeds images again; samples show some.
def with_patches(wildcards):
    return CONFIG.settings("zero_shot_classification", wildcards.dataset).reads_images


def with_images(wildcards):
    return with_patches(wildcards) or CONFIG.settings("zero_shot_classification", wildcards.dataset).shows_images


rule zero_shot_classification:
    input:
        **inputs_of("zero_shot_classification", leave=("images",)),
        images=lambda wildcards: (
            path_of("dicom_to_arrow", "manifest.json", dataset=wildcards.dataset) if with_images(wildcards) else []
        ),
        prompts=lambda wildcards: of_checkout(CONFIG.settings("zero_shot_classification", wildcards.dataset).prompts),
    output:
        **outputs_of("zero_shot_classification"),
    log:
        log_of("zero_shot_classification"),
    container:
        container_of("torch")
    threads: lambda wildcards: 8 if with_patches(wildcards) else 1
    resources:
        mem_mb=growing(8000),
        gpu=lambda wildcards: int(with_patches(wildcards)),
        runtime=growing(30),
    params:
        **identity_of("zero_shot_classification", image="torch"),
        device=lambda wildcards: CONFIG.device if with_patches(wildcards) else "cpu",
    shell:
        command_of("zero_shot_classification", device="{params.device}")
