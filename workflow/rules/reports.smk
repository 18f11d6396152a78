"""Pages without and with code, the record of the study, and its index."""


rule render:
    input:
        notebook="{dataset}/{notebook}.ipynb",
    output:
        plain="{dataset}/{notebook}.html",
        code="{dataset}/{notebook}.code.html",
    params:
        home="../index.html",
        library=LIBRARY,
    log:
        "logs/{dataset}/{notebook}.render.log",
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "heclstm render {input.notebook} --home {params.home} &> {log}"


use rule render as render_overview with:
    input:
        notebook="00_overview.ipynb",
    output:
        plain="00_overview.html",
        code="00_overview.code.html",
    params:
        home="index.html",
        library=LIBRARY,
    log:
        "logs/00_overview.render.log",


rule study:
    input:
        notebooks=[os.path.join(dataset, f"{name}.ipynb") for dataset, name in TASKS],
        pages=[
            os.path.join(dataset, f"{name}{end}")
            for dataset, name in TASKS
            for end in (".html", ".code.html")
        ],
    output:
        index="index.html",
        record="study.json",
    params:
        collect=COLLECT,
        library=LIBRARY,
    log:
        "logs/study.log",
    shell:
        "{params.collect} --current &> {log}"
