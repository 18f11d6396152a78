"""One rule a notebook, and one for a row of the ablation grid.

Models, plans and encrypted batches lie in work/<data set>/fold<k>. A data set's number of folds is
the profile's, so that no rule can name these files; the tables written after them stand for them.
What an earlier run left is removed (`stale`): a changed notebook must not take it up.
`heclstm papermill` is papermill's command line; it moves the executed notebook to its place when
it has run to its end, and a failed one to <notebook>.failed.ipynb.
"""

PAPERMILL = (
    "rm -rf {params.stale} && "
    "heclstm papermill {input.notebook} {output.notebook} -k python3 --cwd {params.root} "
    "--no-progress-bar --start-timeout 180 {params.arguments} &> {log}"
)


rule overview:
    input:
        notebook=source("00_overview"),
    output:
        notebook="00_overview.ipynb",
    params:
        arguments=arguments("", "00_overview"),
        library=LIBRARY,
        root=root,
        stale="",
    log:
        "logs/00_overview.log",
    resources:
        mem_mb=3000,
        runtime=15,
    shell:
        PAPERMILL


rule data_preparation:
    input:
        notebook=source("01_data_preparation"),
        manifest=manifest,
    output:
        notebook="{dataset}/01_data_preparation.ipynb",
        tables=tables("01_data_preparation", "counts"),
    params:
        arguments=lambda w: arguments(w.dataset, "01_data_preparation"),
        settings=settings(),
        library=LIBRARY,
        root=root,
        stale="",
    log:
        "logs/{dataset}/01_data_preparation.log",
    resources:
        mem_mb=3000,
        runtime=30,
    shell:
        PAPERMILL


rule plaintext_training:
    input:
        notebook=source("02_plaintext_training"),
        manifest=manifest,
    output:
        notebook="{dataset}/02_plaintext_training.ipynb",
        tables=tables("02_plaintext_training", "predictions", "ranges", "metrics", "comparison"),
    params:
        arguments=lambda w: arguments(w.dataset, "02_plaintext_training"),
        settings=settings(),
        library=LIBRARY,
        root=root,
        stale=lambda w: f"work/{w.dataset}/fold*",
    log:
        "logs/{dataset}/02_plaintext_training.log",
    resources:
        mem_mb=3000,
        runtime=120,
    shell:
        PAPERMILL


rule he_conversion:
    input:
        notebook=source("03_he_conversion"),
        manifest=manifest,
        trained=rules.plaintext_training.output.tables,
    output:
        notebook="{dataset}/03_he_conversion.ipynb",
        tables=tables("03_he_conversion", "candidates", "conversion", "layers"),
    params:
        arguments=lambda w: arguments(w.dataset, "03_he_conversion"),
        settings=settings("he"),
        library=LIBRARY,
        root=root,
        stale="",
    log:
        "logs/{dataset}/03_he_conversion.log",
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        PAPERMILL


rule encrypted_evaluation:
    input:
        notebook=source("04_encrypted_evaluation"),
        manifest=manifest,
        trained=rules.plaintext_training.output.tables,
        planned=rules.he_conversion.output.tables,
    output:
        notebook="{dataset}/04_encrypted_evaluation.ipynb",
        tables=tables("04_encrypted_evaluation", "scores", "quantised", "batches", "ensemble"),
    params:
        arguments=lambda w: arguments(w.dataset, "04_encrypted_evaluation"),
        settings=settings("he"),
        library=LIBRARY,
        root=root,
        stale=lambda w: f"work/{w.dataset}/fold*/encrypted",
    log:
        "logs/{dataset}/04_encrypted_evaluation.log",
    # as many threads as there are busy processes: what it measures is not to be shared
    threads: encrypted_threads
    resources:
        mem_mb=encrypted_mb,
        runtime=240,
    shell:
        PAPERMILL


rule ablation_row:
    input:
        manifest=manifest,
        trained=row_network,
    output:
        row="{dataset}/work/ablations/{row}/row.json",
        predictions="{dataset}/work/ablations/{row}/predictions.parquet",
    params:
        profile=PROFILE,
        data=["--data", str(DATA)] if DATA else [],
        settings=row_settings,
        library=LIBRARY,
    log:
        "logs/{dataset}/ablations/{row}.log",
    threads: row_threads
    resources:
        mem_mb=row_mb,
        runtime=120,
    shell:
        "heclstm ablate --profile {params.profile:q} --dataset {wildcards.dataset} "
        "--row {wildcards.row} --out . {params.data:q} &> {log}"


rule ablations:
    input:
        notebook=source("05_ablations"),
        manifest=manifest,
        trained=rules.plaintext_training.output.tables,
        encrypted=rules.encrypted_evaluation.output,
        rows=rows,
    output:
        notebook="{dataset}/05_ablations.ipynb",
        tables=tables("05_ablations", "predictions", "comparison", "metrics", "plans"),
    params:
        arguments=lambda w: arguments(w.dataset, "05_ablations"),
        settings=settings("he", "ablations"),
        told=told_rows,
        library=LIBRARY,
        root=root,
        stale="",
    log:
        "logs/{dataset}/05_ablations.log",
    resources:
        mem_mb=3000,
        runtime=60,
    shell:
        PAPERMILL


rule competing_methods:
    input:
        notebook=source("06_competing_methods"),
        manifest=manifest,
        weights=weights,
        trained=rules.plaintext_training.output.tables,
        ablated=rules.ablations.output.tables,
    output:
        notebook="{dataset}/06_competing_methods.ipynb",
        tables=tables("06_competing_methods", "predictions", "comparison", "metrics"),
    params:
        arguments=lambda w: arguments(w.dataset, "06_competing_methods"),
        settings=settings("methods"),
        library=LIBRARY,
        root=root,
        # finished fits are kept by a digest of data, settings and source: a new method is added
        stale="",
    log:
        "logs/{dataset}/06_competing_methods.log",
    resources:
        mem_mb=4000,
        runtime=480,
    shell:
        PAPERMILL


rule encrypted_competitors:
    input:
        notebook=source("07_encrypted_competitors"),
        manifest=manifest,
        weights=weights,
        trained=rules.plaintext_training.output.tables,
        encrypted=rules.encrypted_evaluation.output.tables,
    output:
        notebook="{dataset}/07_encrypted_competitors.ipynb",
        tables=tables("07_encrypted_competitors", "predictions", "costs", "agreement", "comparison"),
    params:
        arguments=lambda w: arguments(w.dataset, "07_encrypted_competitors"),
        settings=settings("he", "methods"),
        library=LIBRARY,
        root=root,
        stale=lambda w: f"work/{w.dataset}/fold*/encrypted_methods",
    log:
        "logs/{dataset}/07_encrypted_competitors.log",
    threads: 2  # its one server process and the client
    resources:
        mem_mb=encrypted_mb,
        runtime=240,
    shell:
        PAPERMILL


rule decisions:
    input:
        notebook=source("08_decisions"),
        manifest=manifest,
        trained=rules.plaintext_training.output.tables,
        encrypted=rules.encrypted_evaluation.output,
        ablated=rules.ablations.output.tables,
        methods=rules.competing_methods.output.tables,
        competitors=rules.encrypted_competitors.output.tables,
    output:
        notebook="{dataset}/08_decisions.ipynb",
        tables=tables("08_decisions", "claims", "waterfall"),
        cards=["{dataset}/model_card.md", "{dataset}/data_card.md"],
    params:
        arguments=lambda w: arguments(w.dataset, "08_decisions"),
        settings=settings("he", "ablations", "methods"),
        library=LIBRARY,
        root=root,
        stale="",
    log:
        "logs/{dataset}/08_decisions.log",
    resources:
        mem_mb=3000,
        runtime=30,
    shell:
        PAPERMILL


rule capacity:
    input:
        notebook=source("09_capacity"),
        manifest=manifest,
        trained=rules.plaintext_training.output.tables,
    output:
        notebook="{dataset}/09_capacity.ipynb",
        tables=tables("09_capacity", "layouts", "cheapest"),
    params:
        arguments=lambda w: arguments(w.dataset, "09_capacity"),
        settings=settings("he"),
        library=LIBRARY,
        root=root,
        stale="",
    log:
        "logs/{dataset}/09_capacity.log",
    resources:
        mem_mb=6000,
        runtime=30,
    shell:
        PAPERMILL
