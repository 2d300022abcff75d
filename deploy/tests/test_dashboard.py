"""The dashboard of Grafana: its variables, the number of its panels, and that Prometheus understands each query."""

import json
import pathlib
import re
import tempfile
import unittest

import kit

DASHBOARD = json.loads((kit.DEPLOY / "grafana/keysweep.json").read_text())


def queries():
    """All queries of panels, with values for the variables."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [query.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*") for query in found]


class Dashboard(unittest.TestCase):
    def test_it_can_be_found_and_selected(self):
        self.assertEqual(DASHBOARD["uid"], "keysweep")
        variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
        self.assertEqual(variables, ["datasource", "job", "instance"])

    def test_it_has_at_most_12_panels_which_say_what_they_show(self):
        self.assertLessEqual(len(DASHBOARD["panels"]), 12)
        for panel in DASHBOARD["panels"]:
            self.assertTrue(panel["title"] and panel["description"], panel)

    def test_each_query_is_of_one_job_and_instance(self):
        for panel in DASHBOARD["panels"]:
            for target in panel["targets"]:
                selectors = re.findall(r"keysweep_\w+\{([^}]*)\}", target["expr"])
                self.assertTrue(selectors, target)
                for selector in selectors:
                    self.assertIn('job=~"$job",instance=~"$instance"', selector)

    def test_prometheus_understands_the_queries(self):
        rules = [{"record": f"check:{number}", "expr": query} for number, query in enumerate(queries())]
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "rules.json")
            file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
            self.assertIn(f"{len(rules)} rules found", kit.run("promtool", "check", "rules", "--lint=none", file))

    def test_its_metrics_are_those_of_the_page(self):
        page = (kit.ROOT / "docs/metrics.md").read_text()
        for query in queries():
            for name in re.findall(r"keysweep_\w+", query):
                self.assertIn(f"`{name.removesuffix('_bucket')}`", page)


if __name__ == "__main__":
    unittest.main()
