# Table 3: outlines with 1, 10 and 100 % of the labels, by published protocols; seeds inside the job. Progress of a
# killed job is in state/, outside the outputs: with the same digest it resumes.
rule few_shot_segmentation:
    input:
        **inputs_of("few_shot_segmentation", "linear"),
    output:
        **outputs_of("few_shot_segmentation", "linear"),
    log:
        log_of("few_shot_segmentation", "linear"),
    wildcard_constraints:
        protocol="|".join(get_args(Protocol)),
    container:
        container_of("torch")
    threads: 8
    resources:
        mem_mb=growing(24000),
        runtime=1440,
        gpu=1,
    params:
        **identity_of(
            "few_shot_segmentation",
            image="torch",
            command="linear",
            settings=few_shot_settings("few_shot_segmentation"),
        ),
        state=f"{CONFIG.workspace}/state/few_shot_segmentation/{{variant}}/{{dataset}}/{{protocol}}/{{fraction}}",
    shell:
        command_of("few_shot_segmentation", "linear", word="{wildcards.protocol}", state="{params.state:q}")
