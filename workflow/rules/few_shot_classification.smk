# Table 2: classification with 1, 10 and 100 % of the labels, by published protocols; seeds inside the job.
def few_shot_settings(stage, protocol=None):
    """Return a function for the settings of one job as JSON; other protocols or fractions do not count."""
    return lambda wildcards: canonical_json(
        CONFIG.settings(stage, wildcards.dataset)
        .job(protocol or wildcards.protocol, int(wildcards.fraction))
        .model_dump(mode="json")
    )


rule few_shot_classification_linear:
    input:
        **inputs_of("few_shot_classification", "linear"),
    output:
        **outputs_of("few_shot_classification", "linear", protocol="linear"),
    log:
        log_of("few_shot_classification", "linear", protocol="linear"),
    container:
        container_of("torch")
    resources:
        mem_mb=growing(4000),
        runtime=growing(15),
    params:
        **identity_of(
            "few_shot_classification",
            image="torch",
            command="linear",
            protocol="linear",
            settings=few_shot_settings("few_shot_classification", "linear"),
        ),
    shell:
        command_of("few_shot_classification", "linear")


rule few_shot_classification_finetune:
    input:
        **inputs_of("few_shot_classification", "finetune"),
    output:
        **outputs_of("few_shot_classification", "finetune"),
    log:
        log_of("few_shot_classification", "finetune"),
    wildcard_constraints:
        protocol="|".join(each for each in get_args(Protocol) if each != "linear"),
    container:
        container_of("torch")
    threads: 8
    resources:
        mem_mb=growing(16000),
        runtime=growing(720),
        gpu=1,
    params:
        **identity_of(
            "few_shot_classification",
            image="torch",
            command="finetune",
            settings=few_shot_settings("few_shot_classification"),
        ),
        state=f"{CONFIG.workspace}/state/few_shot_classification/{{variant}}/{{dataset}}/{{protocol}}/{{fraction}}",
    shell:
        command_of("few_shot_classification", "finetune", word="{wildcards.protocol}", state="{params.state:q}")
