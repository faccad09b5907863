"""Settings come from TOML and from pairs, by our names and by LSST's."""

import dataclasses

import pytest

from jaxcoadd import statistics, weights
from jaxcoadd.assembly.settings import (
    FIELDS,
    LSST_STATISTICS,
    STATISTICS,
    Settings,
    read_settings,
)
from jaxcoadd.assembly.values import SettingsError, parse


def changes(*pairs):
    """Return what some pairs change."""
    found = dataclasses.asdict(read_settings(overrides=pairs))
    before = dataclasses.asdict(Settings())
    return {key: value for key, value in found.items() if value != before[key]}


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("badMaskPlanes=['NO_DATA','CR']", {"bad_planes": ("NO_DATA", "CR")}),
        ('badMaskPlanes=["NO_DATA", "CR"]', {"bad_planes": ("NO_DATA", "CR")}),
        ("badMaskPlanes=NO_DATA, CR", {"bad_planes": ("NO_DATA", "CR")}),
        ("badMaskPlanes=[NO_DATA,CR]", {"bad_planes": ("NO_DATA", "CR")}),
        ("badMaskPlanes=('NO_DATA', 'CR')", {"bad_planes": ("NO_DATA", "CR")}),
        ("bad_planes=CR", {"bad_planes": ("CR",)}),
        ("bad_planes=", {"bad_planes": ()}),
        ("removeMaskPlanes=[]", {"remove_planes": ()}),
        (
            'maskPropagationThresholds={"SAT": 0.2}',
            {"mask_thresholds": {"SAT": 0.2}},
        ),
        ("maskPropagationThresholds={'SAT': 1}", {"mask_thresholds": {"SAT": 1.0}}),
        ("maskPropagationThresholds={SAT = 0.2}", {"mask_thresholds": {"SAT": 0.2}}),
        ("mask_thresholds={}", {"mask_thresholds": {}}),
        ("mask_thresholds.CR=0.5", {"mask_thresholds": {"SAT": 0.1, "CR": 0.5}}),
        ("sigmaClip=4", {"sigma_clip": 4.0}),
        ("sigma_clip = 2.5", {"sigma_clip": 2.5}),
        ("clipIter=5", {"clip_iter": 5}),
        ("statistic=MEAN", {"statistic": "Mean"}),
        ("statistic=median", {"statistic": "Median"}),
        ("statistic='SoftClippedMean'", {"statistic": "SoftClippedMean"}),
        ("subregionSize=2000,200", {"subregion_rows": 200}),
        ("subregionSize=[2000, 200]", {"subregion_rows": 200}),
        ("subregionSize=(2000, 200)", {"subregion_rows": 200}),
        ("subregion_rows=7", {"subregion_rows": 7}),
        ("doInterp=False", {"interpolate": False}),
        ("interpolate=false", {"interpolate": False}),
        ("doNImage=True", {}),
        ("doOnlineForMean=true", {"online_mean": True}),
        ("calcErrorFromInputVariance=False", {"error": "scatter"}),
        ("calcErrorFromInputVariance=True", {}),
        ("doScaleZeroPoint=True", {"zero_point": 27.0}),
        ("doScaleZeroPoint=False", {}),
        ("brightObjectMaskName=STAR", {"bright_object_plane": "STAR"}),
        ("zero_point=25", {"zero_point": 25.0}),
    ],
)
def test_values_are_taken_as_users_write_them(pair, expected):
    assert changes(pair) == expected


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("sigmaclip=3", "there is no setting 'sigmaclip'; did you mean sigmaClip?"),
        ("sigma_clp=3", "there is no setting 'sigma_clp'; did you mean sigma_clip?"),
        ("xyz=3", "there is no setting 'xyz'; they are statistic, sigma_clip"),
        ("sigma_clip.x=1", "there is no setting 'sigma_clip.x'"),
        ("doMaskBrightObjects=True", "with --bright-objects FILE"),
        ("sigma_clip", "-c sigma_clip: expected key=value, as -c sigma_clip=3"),
        ("=3", "-c =3: expected key=value"),
        ("sigma_clip=abc", "sigma_clip is 'abc'; expected a number"),
        ("sigma_clip=true", "sigma_clip is True; expected a number"),
        ("sigmaClip=0", "sigmaClip is 0; expected a number above 0"),
        ("sigma_clip=nan", "sigma_clip is nan; expected a finite number"),
        ("sigma_clip=inf", "sigma_clip is inf; expected a finite number"),
        ("clip_iter=2.0", "clip_iter is 2.0; expected a whole number above 0"),
        ("clip_iter=0", "clip_iter is 0; expected a whole number above 0"),
        ("clip_iter=1000", "expected a whole number from 1 to 100"),
        ("statistic=MEANCLP", "did you mean MEANCLIP?"),
        ("statistic=[1]", r"statistic is [1]; expected one of Mean"),
        ("error=scater", "expected one of variances, scatter, mosaic; did you mean"),
        ("weighting=3", "weighting is 3; expected one of warp, variance, equal"),
        ("zero_point=-1", "expected an AB magnitude above 0 and at most 60"),
        ("zero_point=61", "expected an AB magnitude above 0 and at most 60"),
        ("bad_planes=3", "bad_planes is 3; expected a list of mask planes"),
        ("bad_planes=[1]", "expected the name of a mask plane"),
        ("bad_planes=A B", "expected the name of a mask plane"),
        ("mask_thresholds=0.2", "expected a table of mask planes and fractions"),
        ("mask_thresholds.SAT=x", "expected a number"),
        ("interpolate=1", "interpolate is 1; expected true or false"),
        ("doNImage=3", "doNImage is 3; expected true or false"),
        ("bright_object_plane=a b", "of letters, digits and _"),
        ("subregion_rows=0", "or a size as [2000, 2000]"),
        ("subregionSize=[1,2,3]", "or a size as [2000, 2000]"),
        ("subregionSize=2000,x", "or a size as [2000, 2000]"),
        ("reader=3", "expected the name of a preset, or a table"),
        ("reader=swrap", "reader: no preset 'swrap'"),
        ("reader.zero_pint=3", "did you mean 'zero_point'?"),
    ],
)
def test_mistakes_are_named_with_what_was_expected(pair, message):
    with pytest.raises(SettingsError) as caught:
        read_settings(overrides=[pair])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_last_of_several_values_counts_whatever_its_name(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("sigma_clip = 2.0\n[mask_thresholds]\nCR = 0.3\n")
    assert read_settings(path, ["sigmaClip=4"]).sigma_clip == 4
    assert read_settings(path, ["sigmaClip=4", "sigma_clip=5"]).sigma_clip == 5
    assert read_settings(path, ["sigma_clip=5", "sigmaClip=4"]).sigma_clip == 4
    found = read_settings(path, ["maskPropagationThresholds.SAT=0.5"])
    assert found.mask_thresholds == {"CR": 0.3, "SAT": 0.5}


def test_a_file_takes_both_names_and_a_reader(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        'statistic = "MEDIAN"\nbadMaskPlanes = ["CR"]\nsubregionSize = [2000, 100]\n'
        '[reader]\npreset = "sample"\nzero_point = 26.5\n'
    )
    found = read_settings(path, ["reader.identifier=EXPID"])
    assert (found.statistic, found.bad_planes) == ("Median", ("CR",))
    assert found.subregion_rows == 100
    assert found.reader.image == "SCI"
    assert (found.reader.zero_point, found.reader.identifier) == (26.5, "EXPID")


def test_a_reader_may_be_the_name_of_a_preset():
    found = read_settings(overrides=["reader=swarp", "reader.zero_point=25"]).reader
    assert (found.layout, found.zero_point) == ("swarp", 25.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sigma_clip 3", "c.toml is not TOML"),
        (b"\xff\xfe", "c.toml is not TOML"),
        (b"config.sigmaClip = 3", "there is no setting 'config'"),
        (b"sigma_clip = 2024-01-01", "expected a number"),
        (b"[statistic]\nname = 'MEAN'", "expected one of Mean"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, message):
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        read_settings(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"no\.toml cannot be read: No such file"):
        read_settings(tmp_path / "no.toml")


def test_every_statistic_makes_a_configuration():
    for name, kind in STATISTICS.items():
        config = Settings(statistic=name, interpolate=False).coadd_config()
        assert type(config.statistic) is kind
    for name, kind in LSST_STATISTICS.items():
        found = read_settings(overrides=[f"statistic={name}"])
        assert STATISTICS[found.statistic] is kind


def test_settings_reach_the_configuration():
    settings = read_settings(
        overrides=[
            "sigmaClip=4",
            "clipIter=3",
            "error=scatter",
            "weighting=equal",
            "bad_planes=CR",
            "remove_planes=[]",
            "mask_thresholds={SUSPECT = 0.5}",
            "interpolate=false",
        ]
    )
    config = settings.coadd_config()
    assert config.statistic.sigma_clip == 4 and config.statistic.clip_iter == 3
    assert isinstance(config.statistic.error, statistics.FromScatter)
    assert isinstance(config.weighting, weights.EqualWeights)
    assert config.bad_planes == ("CR", "BAD_VARIANCE")
    assert config.remove_planes == () and config.mask_thresholds == {"SUSPECT": 0.5}
    assert config.interpolate is False


def test_the_clip_of_the_weights_is_that_of_the_statistic():
    weighting = read_settings(overrides=["sigma_clip=4", "clip_iter=3"]).coadd_config()
    assert weighting.weighting.sigma_clip == 4 and weighting.weighting.clip_iter == 3


def test_interpolation_of_what_is_no_sky_is_refused():
    with pytest.raises(SettingsError, match="interpolate=True does not go with Min"):
        Settings(statistic="Minimum").coadd_config()


def test_every_field_can_be_set_and_is_recorded_as_text():
    names = {field.name for field in dataclasses.fields(Settings)}
    # The method has a name of its own on the command line.
    assert {*FIELDS, "method"} == names == set(Settings().as_text())
    assert Settings().as_text()["clip_iter"] == "2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        (" 3.5 ", 3.5),
        ("true", True),
        ("True", True),
        ("null", None),
        ("abc", "abc"),
        ("'abc'", "abc"),
        ("it's", "it's"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ("{'a': {'b': 1}}", {"a": {"b": 1}}),
    ],
)
def test_values_are_read_as_toml_json_or_text(text, value):
    assert parse(text) == value
