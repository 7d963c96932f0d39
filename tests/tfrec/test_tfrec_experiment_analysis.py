"""A whole experiment: planted effects are found, faults are named, and findings are corrected for their number."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from tfrec.certainty import benjamini_hochberg, holm, minimum_detectable_effect_between
from tfrec.errors import ConfigError, DataError
from tfrec.experiment import LogColumns, Settings, analyse, parse_metric, users_of


def log(seed=0, users=4000, lift=0.0, **more):
    """One row per user; `a` and `b` against `control`, of which only `b` does anything."""
    rng = np.random.default_rng(seed)
    variant = rng.choice(["control", "a", "b"], users)
    person = rng.normal(0, 1, users)
    impressions = 1 + rng.poisson(8, users)
    return {
        "user": np.arange(users),
        "variant": variant,
        "impressions": impressions,
        "clicks": rng.binomial(impressions, 0.1),
        "revenue": np.exp(person + rng.normal(0, 0.5, users)) + lift * (variant == "b"),
        "before": np.exp(person),
        "time": 60_000 * np.arange(users),
        **more,
    }


def analysis_of(rows, *texts, columns=None, **settings):
    metrics = [parse_metric(text) for text in texts]
    covariates = [name for names in settings.get("covariates", {}).values() for name in names]
    users = users_of(pa.table(rows), columns or LogColumns(time="time"), metrics, covariates)
    return analyse(users, metrics, Settings(**settings))


def by_name(analysis):
    return {(found.metric, found.variant): found for found in analysis.findings}


def test_every_metric_and_variant_is_compared_with_the_control_by_its_own_users():
    rows = log()
    found = by_name(analysis_of(rows, "revenue", "ctr=clicks/impressions", correction="none"))
    assert list(found) == [("revenue", "a"), ("revenue", "b"), ("ctr", "a"), ("ctr", "b")]
    sides = {name: rows["revenue"][rows["variant"] == name] for name in ("control", "a", "b")}
    for name in "ab":
        one = found["revenue", name]
        welch = stats.ttest_ind(sides[name], sides["control"], equal_var=False)
        assert one.effect.p_value == one.p_corrected == pytest.approx(welch.pvalue)
        assert one.users == (len(sides["control"]), len(sides[name]))
        expected = minimum_detectable_effect_between(sides["control"], sides[name])
        assert one.minimum_detectable_effect == pytest.approx(expected)
        assert one.unadjusted is one.variance_reduction is None
        is_in = rows["variant"] == name
        ctr = rows["clicks"][is_in].sum() / rows["impressions"][is_in].sum()
        assert found["ctr", name].effect.variant == pytest.approx(ctr)


def test_a_planted_effect_is_found_with_the_covariate_and_not_without():
    rows = log(seed=3, lift=0.15)
    plain, better = (
        by_name(analysis_of(rows, "revenue", covariates=chosen))["revenue", "b"] for chosen in ({}, {"": ("before",)})
    )
    assert plain.p_corrected > 0.05
    assert better.p_corrected < 0.05
    assert better.effect.low < 0.15 < better.effect.high
    assert better.unadjusted == plain.effect
    assert better.variance_reduction == pytest.approx(
        1 - (better.effect.standard_error / plain.effect.standard_error) ** 2
    )
    assert better.variance_reduction > 0.4


def test_users_without_a_past_are_kept():
    rows = log(lift=0.15)
    rows["before"] = np.where(np.arange(4000) % 4 == 0, np.nan, rows["before"])
    found = by_name(
        analysis_of(
            {**rows, "before": pa.array(rows["before"], from_pandas=True)},
            "revenue",
            covariates={"revenue": ("before",)},
        )
    )
    assert found["revenue", "b"].missing == 0
    assert 0.2 < found["revenue", "b"].variance_reduction < 0.7


@pytest.mark.parametrize(("name", "correct"), [("holm", holm), ("bh", benjamini_hochberg)])
def test_p_values_of_all_metrics_and_variants_are_corrected_together(name, correct):
    found = analysis_of(log(lift=0.3), "revenue", "clicks", "impressions", correction=name).findings
    np.testing.assert_allclose(
        [one.p_corrected for one in found], correct(np.array([one.effect.p_value for one in found]))
    )
    np.testing.assert_allclose(
        [one.sequential_p_corrected for one in found], correct(np.array([one.sequential.p_value for one in found]))
    )


def test_the_looks_of_the_past_are_those_that_the_log_of_that_time_would_have_given():
    rows = log(lift=0.3)
    whole = by_name(analysis_of(rows, "revenue", looks=4, correction="none", covariates={"": ("before",)}))
    looks = whole["revenue", "b"].looks
    assert [look.time_ms for look in looks] == sorted({look.time_ms for look in looks})
    assert looks[-1] == whole["revenue", "b"].sequential
    past = [rows["time"] <= looks[1].time_ms][0]
    then = by_name(
        analysis_of(
            {name: column[past] for name, column in rows.items()}, "revenue", looks=1, covariates={"": ("before",)}
        )
    )["revenue", "b"].sequential
    assert (then.users, then.low, then.high) == pytest.approx((looks[1].users, looks[1].low, looks[1].high))
    p_values = [look.p_value for look in looks]
    assert p_values == sorted(p_values, reverse=True)
    assert then.p_value >= p_values[1]


def test_what_a_look_has_shown_stays_shown():
    rows = log()
    early = np.arange(4000) < 2000
    rows["revenue"] = rows["revenue"] + np.where(rows["variant"] == "b", np.where(early, 1.0, -1.0), 0.0)
    found = by_name(analysis_of(rows, "revenue", looks=4, correction="none"))["revenue", "b"]
    assert abs(found.effect.difference) < found.effect.standard_error * 2
    assert found.sequential.low < 0 < found.sequential.high
    assert found.sequential.p_value == min(look.p_value for look in found.looks) < 1e-6


def test_users_without_a_past_have_a_level_of_their_own():
    rows = log()
    is_new = np.arange(4000) % 4 == 0
    rows["revenue"] = rows["revenue"] - 5.0 * is_new
    before = pa.array(np.where(is_new, np.nan, rows["before"]), from_pandas=True)
    found = by_name(analysis_of({**rows, "before": before}, "revenue", covariates={"": ("before",)}))["revenue", "b"]
    chosen = rows["variant"] != "a"
    filled = np.where(is_new, 0.0, rows["before"])
    design = np.column_stack([np.ones(4000), rows["variant"] == "b", filled, is_new])[chosen]
    coefficients = np.linalg.lstsq(design, rows["revenue"][chosen], rcond=None)[0]
    assert found.effect.difference == pytest.approx(coefficients[1])


def test_without_times_there_is_one_look_at_all_users():
    found = analysis_of(log(), "revenue", columns=LogColumns()).findings[0]
    assert found.looks == ()
    assert found.sequential.users == sum(found.users)
    assert found.sequential.low < found.effect.low < found.effect.high < found.sequential.high


def test_with_few_users_there_is_no_always_valid_interval():
    rows = log(users=200)
    found = analysis_of(rows, "revenue", "clicks").findings[0]
    assert found.sequential is found.sequential_p_corrected is None
    assert found.looks == ()


def test_winsorising_cuts_all_variants_at_the_same_values_and_leaves_ratios():
    rows = log()
    low, high = np.quantile(rows["revenue"], [0.05, 0.95])
    cut = {**rows, "revenue": np.clip(rows["revenue"], low, high)}
    texts = ("revenue", "r=revenue/impressions")
    found, expected = by_name(analysis_of(rows, *texts, winsorise=0.95)), by_name(analysis_of(cut, *texts))
    assert found["revenue", "a"].effect == expected["revenue", "a"].effect
    assert found["r", "a"].effect == by_name(analysis_of(rows, *texts))["r", "a"].effect


def test_a_sample_ratio_that_was_not_planned_is_a_warning():
    rows = log()
    assert not analysis_of(rows, "clicks").warnings
    keep = (rows["variant"] != "b") | (np.arange(4000) % 5 > 0)
    lost = analysis_of({name: column[keep] for name, column in rows.items()}, "clicks")
    assert lost.sample_ratio_p_value < 0.001
    assert "sample ratio mismatch" in lost.warnings[0]
    planned = analysis_of(rows, "clicks", split={"control": 1, "a": 1, "b": 1.02})
    assert not planned.warnings


def test_a_covariate_that_the_variant_has_changed_is_a_warning():
    found = analysis_of(log(lift=1.0), "clicks", covariates={"clicks": ("revenue",)})
    assert [text for text in found.warnings if "covariate 'revenue' differs between control and b" in text]
    assert not [text for text in found.warnings if "control and a:" in text]


def test_users_that_are_left_out_and_values_that_can_grow_are_warnings():
    rows = {name: np.concatenate([column, column[:1]]) for name, column in log().items()}
    growing = analysis_of(rows, "clicks").warnings
    assert len(growing) == 1
    assert "can still grow" in growing[0]
    final = analysis_of(rows, "clicks", columns=LogColumns(time="time", window_days=0.0005))
    assert final.warnings == ("1 users not yet watched for the whole window are left out",)
    rows["variant"][-1] = "a" if rows["variant"][0] != "a" else "b"
    assert "1 users in several variants are left out" in analysis_of(rows, "clicks").warnings


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"control": "contrl"}, ConfigError, "no variant 'contrl' in the log; did you mean 'control'"),
        ({"covariates": {"click": ("before",)}}, ConfigError, "no metric 'click'; did you mean 'clicks'"),
        ({"split": {"control": 1, "c": 1}}, ConfigError, "no variant 'c'"),
        ({"split": {"control": 1, "a": 1}}, ConfigError, "no share for b"),
        ({"split": {"control": 0}}, ConfigError, "got 0 for 'control'"),
        ({"correction": "tukey"}, ConfigError, "holm, bh, none"),
        ({"alpha": 5}, ConfigError, "alpha: got 5"),
        ({"winsorise": 0.01}, ConfigError, "winsorise: got 0.01"),
        ({"looks": 0}, ConfigError, "from 1"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, error, says):
    with pytest.raises(error, match=says):
        analysis_of(log(), "clicks", **settings)


def test_metrics_need_names_of_their_own_and_two_variants_with_values():
    with pytest.raises(ConfigError, match="its own name"):
        analysis_of(log(), "clicks", "clicks=revenue")
    alone = log(variant=np.full(4000, "control"))
    with pytest.raises(DataError, match="a comparison needs two"):
        analysis_of(alone, "clicks")
    rows = log()
    clicks = pa.array(np.where(rows["variant"] == "b", np.nan, 1.0), from_pandas=True)
    with pytest.raises(DataError, match="0 of 'b' have a value"):
        analysis_of({**rows, "clicks": clicks}, "clicks")


def test_users_without_a_value_of_the_metric_are_counted():
    rows = log()
    clicks = pa.array(np.where(np.arange(4000) < 40, np.nan, rows["clicks"]), from_pandas=True)
    found = analysis_of({**rows, "clicks": clicks}, "clicks").findings
    known = {name: column[40:] for name, column in rows.items()}
    expected = analysis_of(known, "clicks").findings
    in_pair = [np.isin(rows["variant"][:40], ("control", name)).sum() for name in "ab"]
    assert [one.missing for one in found] == in_pair
    assert [replace(one, missing=0) for one in found] == list(expected)
