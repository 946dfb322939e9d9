"""Every figure that the dashboard and the alerts ask for is one that a program here has.

dashboard.py ROOT [METRICS]: names are looked for in the source; those in the text of a /metrics page that is given, too.
"""
import json
import pathlib
import re
import sys

WORDS = {"sum", "by", "rate", "increase", "histogram_quantile", "min", "max", "topk", "time", "vector", "or", "le", "kind",
         "status", "endpoint", "instance", "job", "up", "label_values"}


def expressions(root):
    dashboard = json.loads((root / "packaging/grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]
    for line in (root / "packaging/prometheus-alerts.yaml").read_text().splitlines():
        if line.strip().startswith("expr: "):
            yield line.split("expr: ", 1)[1]


def names(expression):
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\$\w+', " ", expression)
    return set(re.findall(r"(?<![\w.])[a-z][a-z0-9_]+", bare)) - WORDS


def wanted(root):
    return sorted(set().union(*map(names, expressions(root))))


def missing(root, page=""):
    """Names that are nowhere: not in the page, nor defined in the source."""
    source = "".join(path.read_text() for path in sorted((root / "src").rglob("*.c")))
    pieces = set(re.findall(r'"([a-z][a-z0-9_]+)(?:\{|")', source.replace('headscale_nodestore_" "', "headscale_nodestore_")))
    shown = set(re.findall(r"^([a-z][a-z0-9_]+)[{ ]", page, re.M))
    return [name for name in wanted(root) if name not in shown and name not in pieces]


if __name__ == "__main__":
    base = pathlib.Path(sys.argv[1])
    text = pathlib.Path(sys.argv[2]).read_text() if len(sys.argv) > 2 else ""
    gone = missing(base, text)
    print(f"{len(wanted(base))} figures are asked for; nowhere: {', '.join(gone) or 'none'}")
    sys.exit(1 if gone or len(wanted(base)) < 30 else 0)
