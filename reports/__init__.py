"""From verdicts to paper: results, evidence, certificate, Allure."""
