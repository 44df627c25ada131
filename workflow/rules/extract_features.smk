# Embeddings of a data set's images, once for zero-shot, linear probes and retrieval.
rule extract_features:
    input:
        **inputs_of("extract_features"),
    output:
        **outputs_of("extract_features"),
    log:
        log_of("extract_features"),
    container:
        container_of("torch")
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
        gpu=1,
    params:
        **identity_of("extract_features", image="torch"),
    shell:
        command_of("extract_features")
