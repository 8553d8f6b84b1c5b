//! `andon objects put`: gives the objects of a file to a running instance.

use crate::{
    args::{Objects, ObjectsCommand, ObjectsPut},
    output::{self, failure},
    target::Target,
};
use andon_api::objects::{ObjectPut, ObjectRef};
use serde_json::Value as Json;
use std::{io::Read, path::Path, process::ExitCode};

/// The largest file.
const FILE_MAX_BYTES: u64 = 64 << 20;

pub(super) fn run(args: &Objects) -> anyhow::Result<ExitCode> {
    match &args.command {
        ObjectsCommand::Put(args) => put(args),
    }
}

fn put(args: &ObjectsPut) -> anyhow::Result<ExitCode> {
    let text = text(&args.file)?;
    let objects = objects(&text)?;
    let target = Target::find(&args.instance)?;
    let (mut new, count) = (0, objects.len());
    for put in objects {
        let given = target.put_object(&put)?;
        new += u64::from(given.changed);
        if args.instance.json {
            output::line(serde_json::to_string(&given)?);
        } else {
            let what = if given.changed { "is another now" } else { "was known already" };
            output::line(format!("{}: {what}, revision {}", given.name, given.revision));
        }
    }
    if !args.instance.json && count != 1 {
        output::line(format!("{count} objects, {new} of them new or another"));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let told = |e: std::io::Error| failure(2, format!("{} cannot be read: {e}", file.display()), "name a file of JSON");
    let from: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(told)?)
    };
    from.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(told)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(failure(2, format!("{} is larger than 64 MiB", file.display()), "divide it"));
    }
    Ok(text)
}

/// The objects of a text: values of JSON one behind the other, each an object or a list of them.
fn objects(text: &str) -> anyhow::Result<Vec<ObjectPut>> {
    let mut all = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Json>() {
        let value = value.map_err(|e| failure(2, format!("this is no JSON: {e}"), "correct the file there"))?;
        match value {
            Json::Array(values) => all.extend(values),
            one => all.push(one),
        }
    }
    all.into_iter().enumerate().map(|(index, value)| one(index + 1, value)).collect()
}

fn one(number: usize, mut body: Json) -> anyhow::Result<ObjectPut> {
    let name = body.as_object_mut().and_then(|fields| fields.remove("name"));
    let parts =
        name.as_ref().and_then(Json::as_str).map(|name| name.splitn(3, '/').map(str::to_owned).collect::<Vec<_>>());
    let Some([kind, site, number]) = parts.and_then(|parts| <[String; 3]>::try_from(parts).ok()) else {
        let remedy = "write `\"name\": \"ProductionOrder/hamburg/1000123\"`: type, site and number";
        return Err(failure(2, format!("object {number} of the file has no name"), remedy));
    };
    Ok(ObjectPut { of: ObjectRef { kind, site, number }, body, expected: None, actor: super::exceptions::by(None) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_stand_alone_in_lists_or_one_a_line() {
        let one = r#"{"name": "ProductionOrder/home/10/7", "object": {"state": "Running"}}"#;
        for (text, count) in
            [(one.to_owned(), 1), (format!("[{one},{one}]"), 2), (format!("{one}\n{one}\n"), 2), (String::new(), 0)]
        {
            let all = objects(&text).unwrap();
            assert_eq!(all.len(), count, "{text}");
            assert!(all.iter().all(|put| put.of.number == "10/7" && put.body.get("name").is_none()));
        }
        for wrong in ["{}", "[7]", "{\"name\": \"a/b\"}", "{\"name\": 7}", "{"] {
            assert!(objects(wrong).is_err(), "{wrong}");
        }
    }
}
