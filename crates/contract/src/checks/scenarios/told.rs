//! What is told of business objects in a scenario, and what persons do to alarms in it.

use super::{Parts, refuse};
use crate::{
    checks::{Known, assets::AssetInfo},
    codes,
    contract::Happening,
    files::{
        scenarios::{ActFile, GivenFile},
        words::Duration,
    },
    load::Project,
    problem::Spot,
    read::At,
};
use andon_model::{
    AssetName, Name, Time,
    object::{Since, Told, is_number},
    sample::{Control, ControlAct},
    schema::changed_event,
};
use serde_json::{Map, Value as Json};

/// Who does what a scenario says.
const ACTOR: &str = "scenario";
/// Why, unless told.
const REASON: &str = "the scenario says so";

/// Refuses the keys of an object where none is told, and those of samples where none are given.
pub(super) fn fits(project: &Project, file: &GivenFile) {
    let of_object = [
        ("from", file.from.as_ref().map(|from| from.spot)),
        ("assets", file.assets.as_ref().map(|_| file.at.spot)),
        ("line", file.line.as_ref().map(|line| line.spot)),
        ("data", file.data.map(|data| data.spot)),
    ];
    let of_samples = [
        ("value", file.value.map(|value| value.spot)),
        ("values", file.values.as_ref().map(|_| file.at.spot)),
        ("every", file.every.as_ref().map(|every| every.spot)),
        ("quality", file.quality.as_ref().map(|quality| quality.spot)),
        ("delayed", file.delayed.as_ref().map(|delayed| delayed.spot)),
        ("source", file.source.as_ref().map(|source| source.spot)),
    ];
    let of_both = [("to", file.to.as_ref().map(|to| to.spot))];
    let (object, samples) = (file.object.is_some(), file.signal.is_some());
    let strange = [(object, &of_object[..]), (samples, &of_samples[..]), (object || samples, &of_both[..])];
    for (key, spot) in strange.into_iter().filter(|(its, _)| !its).flat_map(|(_, keys)| keys) {
        if let Some(spot) = spot {
            let expected =
                if of_samples.iter().any(|(of, _)| of == key) { "`signal` with it" } else { "`object` with it" };
            let message = format!("`{key}` says nothing of what happens here");
            project.push(refuse(*spot, message, expected, "leave it out, or say what it belongs to"));
        }
    }
}

/// An object that is told.
pub(super) fn object(
    project: &Project,
    parts: &Parts<'_>,
    file: &GivenFile,
    of: &At<String>,
    start: Time,
) -> Option<Happening> {
    let named = of.split_once('/').and_then(|(kind, rest)| Some((kind, rest.split_once('/')?)));
    let Some((kind, (site, number))) = named.filter(|(_, (_, number))| is_number(number)) else {
        let expected = "`<Type>/<site>/<number>`";
        project.push(refuse(
            of.spot,
            format!("`{}` names no object", of.value),
            expected,
            "name type, site and number",
        ));
        return None;
    };
    let schema = schema_of(project, parts, of.spot, kind)?;
    let sites = Known(parts.assets.sites.keys().map(ToString::to_string).collect());
    if !sites.expect(project, codes::UNKNOWN_SITE, of.spot, "site", site) {
        return None;
    }
    let mut data = match file.data.and_then(|raw| Some((raw.spot, project.findings.tree(raw.spot.file)?))) {
        None => Map::new(),
        Some((spot, tree)) => {
            let Json::Object(data) = tree.json(spot.node) else {
                project.push(refuse(spot, "these are no fields", "`{ state: Running, ... }`", "write fields by name"));
                return None;
            };
            data
        }
    };
    data.entry("number").or_insert_with(|| number.into());
    data.entry("site").or_insert_with(|| site.into());
    let assets = match &file.assets {
        Some(list) => list.iter().map(|asset| (asset.value.clone(), asset.spot)).collect(),
        None => own_assets(&data, file.data.map_or(of.spot, |raw| raw.spot)),
    };
    let mut good = true;
    for (asset, spot) in &assets {
        let of_site = |info: &AssetInfo| info.asset.site.as_str() == site;
        let here = parts.assets.assets.iter().filter(|(_, info)| of_site(info));
        let known = Known(here.map(|(name, _)| name.to_string()).collect());
        good &= known.expect(project, codes::UNKNOWN_ASSET, *spot, "asset", asset);
    }
    let data = Json::Object(data);
    if let Err(mismatch) = parts.schemas.all.check(&schema, &data) {
        let spot = file.data.map_or(of.spot, |raw| raw.spot);
        let expected = format!("an object that fits {}", mismatch.schema);
        let message = format!("the object {mismatch}");
        project.push(refuse(spot, message, &expected, "correct its fields"));
        good = false;
    }
    let moment = |span: &At<Duration>| start.plus(span.0);
    if let (Some(from), Some(to)) = (&file.from, &file.to)
        && to.0 < from.0
    {
        let message = format!("it ends after {} and begins after {}", to.0, from.0);
        project.push(refuse(to.spot, message, "not before `from`", "correct one of the two"));
        good = false;
    }
    let told = Told {
        object: schema,
        site: site.to_owned(),
        number: number.to_owned(),
        from: file.from.as_ref().map_or(Since::Always, |from| Since::Time(moment(from))),
        to: file.to.as_ref().map(moment),
        assets: assets.into_iter().map(|(asset, _)| asset).collect(),
        line: file.line.as_ref().map(|line| line.value.clone()),
        data,
        gone: false,
    };
    good.then(|| Happening::Told(Box::new(told)))
}

/// The assets that an object itself names.
fn own_assets(data: &Map<String, Json>, spot: Spot) -> Vec<(String, Spot)> {
    let list = data.get("assets").and_then(Json::as_array).into_iter().flatten();
    list.filter_map(Json::as_str).map(|asset| (asset.to_owned(), spot)).collect()
}

/// The newest major of the schema of a type of objects.
fn schema_of(project: &Project, parts: &Parts<'_>, spot: Spot, kind: &str) -> Option<String> {
    let names: Vec<String> = parts.schemas.all.names().collect();
    let split = || names.iter().filter_map(|name| name.split_once('/'));
    // A type of objects has no dot, and an event of its changes.
    let is_object = |name: &str| !name.contains('.') && parts.schemas.events.has(&changed_event(name));
    let types = Known(split().map(|(name, _)| name.to_owned()).filter(|name| is_object(name)).collect());
    if !types.expect(project, codes::SCENARIO, spot, "type of objects", kind) {
        return None;
    }
    let majors = split().filter(|(name, _)| *name == kind);
    let newest = majors.filter_map(|(_, version)| version.split('.').next()?.parse::<u32>().ok()).max();
    Some(format!("{kind}/{}", newest.unwrap_or(1)))
}

/// What a person does.
pub(super) fn act(project: &Project, parts: &Parts<'_>, file: &GivenFile, at: Time) -> Option<Happening> {
    if let Some(shelve) = &file.shelve {
        let (rule, asset) = rule_of(project, parts, &shelve.rule, &shelve.asset)?;
        let max = parts.shelving.max_of(&rule);
        if let Some(within) = shelve.within.as_ref().filter(|within| within.0 > max) {
            let message = format!("alarms of {rule} are shelved for {max} at most, not {}", within.0);
            project.push(refuse(within.spot, message, &format!("at most {max}"), "shelve them again later"));
            return None;
        }
        let until = at.plus(shelve.within.as_ref().map_or(max, |within| within.0));
        let act = ControlAct::Shelve { until, once: shelve.once };
        return Some(done((rule, asset), act, shelve.reason.as_ref(), at));
    }
    let acts: [(&Option<At<ActFile>>, ControlAct); 3] = [
        (&file.unshelve, ControlAct::Unshelve),
        (&file.disable, ControlAct::Disable),
        (&file.enable, ControlAct::Enable),
    ];
    let (of, act) = acts.into_iter().find_map(|(of, act)| Some((of.as_ref()?, act)))?;
    let of_rule = rule_of(project, parts, &of.rule, &of.asset)?;
    Some(done(of_rule, act, of.reason.as_ref(), at))
}

fn done((rule, asset): (Name, AssetName), act: ControlAct, reason: Option<&At<String>>, at: Time) -> Happening {
    let reason = reason.map_or(REASON, |reason| &reason.value).to_owned();
    Happening::Done(Box::new(Control { rule, asset, act, at, actor: ACTOR.to_owned(), reason }))
}

/// A rule, and an asset it holds for.
fn rule_of(project: &Project, parts: &Parts<'_>, rule: &At<String>, asset: &At<String>) -> Option<(Name, AssetName)> {
    if !Known::stems(&project.rules).expect(project, codes::SCENARIO, rule.spot, "rule", rule) {
        return None;
    }
    let (rule, of) = parts.rules.get_key_value(rule.value.as_str())?;
    let Some((asset, _)) = of.assets.get_key_value(asset.value.as_str()) else {
        let known = Known(of.assets.keys().map(ToString::to_string).collect());
        let message = format!("the rule `{rule}` does not hold for an asset `{}`", asset.value);
        project.push(known.lacking(codes::SCENARIO, asset.spot, asset, message));
        return None;
    };
    Some((rule.clone(), asset.clone()))
}
