# One variant of the method. Training state is in state/, outside the outputs: the same digest resumes. A training that
# diverged is refused at once when it is tried again unchanged.
from workflow.several_nodes import spread_of

try:
    SPREAD = spread_of("pretrain", workflow.resource_settings.overwrite_resources)
    if SPREAD.nodes > 1 and workflow.is_main_process and not ON_CLUSTER:
        raise InputError("set-resources: pretrain: nodes: only SLURM has several", "remove it from the profile")
except InputError as error:
    raise WorkflowError(str(error)) from None


rule pretrain:
    input:
        **inputs_of("pretrain", dataset=CONFIG.pretrain_on),
        start=lambda wildcards: weights_inputs(starting_weights(wildcards.variant)),
    output:
        **outputs_of("pretrain"),
    log:
        log_of("pretrain"),
    # overrides the profile's; a job in progress must not try again by itself, in what is left of its time and memory
    retries: CONFIG.pretrain_retries if ON_CLUSTER and workflow.is_main_process else 0
    container:
        container_of("torch") if SPREAD.nodes == 1 else None
    threads: 8 * SPREAD.per_node
    resources:
        **SPREAD.resources,
        mem_mb=growing(32000, most=2),
        runtime=1440,
        gpu=1,
    params:
        **identity_of("pretrain", image="torch"),
        start=lambda wildcards: weights_options(starting_weights(wildcards.variant)),
        state=f"{CONFIG.workspace}/state/pretrain/{{variant}}",
    shell:
        SPREAD.command(
            command_of(
                "pretrain",
                leave=("nodes", "node_index", "rendezvous"),
                state="{params.state:q}",
                processes=str(SPREAD.per_node),
                more=f"{{params.start}} {SPREAD.options}".strip(),
            ),
            container_of("torch"),
            APPTAINER_ARGUMENTS,
            {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"},
        )
