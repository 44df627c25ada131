# One job that writes down what a container sees: the workflow's own common.smk, profile and image.
configfile: "config.yaml"


include: "../../workflow/rules/common.smk"


rule probe:
    output:
        environment="probe/environment.txt",
        refusal="probe/refusal.txt",
    container:
        container_of("torch")
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
        gpu=1,
    shell:
        "env > {output.environment};"
        " python -c 'from stages.common.device import choose_device; choose_device(\"auto\")' 2> {output.refusal} || true"
