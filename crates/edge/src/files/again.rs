//! A row that was set aside is read again: what was kept of it is a file of one row.

use super::{
    FileCore, Next, Rows,
    read::{Place, file_source},
};
use crate::{duplicates::Duplicates, mapping::Numbers};
use andon_contract::contract::{Contract, CsvFormat, FileFormat, FileSource};
use andon_model::Name;
use andon_store::{QuarantineRow, StoreError};
use std::{collections::BTreeMap, sync::Arc};

/// Reads rows of a source again.
pub(crate) struct Again {
    pub(crate) core: FileCore,
    source: FileSource,
}

impl Again {
    /// For the file source of a name; `None` where the contract has none, or no site.
    pub(crate) fn new(contract: &Arc<Contract>, name: &Name, window: Duplicates) -> Option<Self> {
        let (_, source) = file_source(contract, name)?;
        // What is kept is text, without what stood before the header.
        let format = match &source.format {
            FileFormat::Csv(format) => FileFormat::Csv(CsvFormat { skip: 0, ..format.clone() }),
            other => other.clone(),
        };
        let source = FileSource { format, encoding: "utf-8".to_owned(), ..source.clone() };
        Some(Self { core: FileCore::new(contract, name, window)?, source })
    }
}

/// Takes a row again; what comes of it lies in the core. An error says why it is no row.
pub(crate) fn again(
    again: &mut Again,
    aside: &QuarantineRow,
    numbers: &mut Numbers<'_>,
) -> Result<Result<(), String>, StoreError> {
    let place = aside.topic.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse::<u64>().ok()?)));
    let Some((file, line)) = place else {
        return Ok(Err("the file as a whole was set aside: mend the source and drop the file again".into()));
    };
    let kept = String::from_utf8_lossy(&aside.bytes);
    let text = match &again.source.format {
        FileFormat::Xml { row } => within(&kept, row.split_last().map_or(&[], |(_, outer)| outer)),
        FileFormat::Csv(_) | FileFormat::JsonLines => kept.into_owned(),
    };
    let mut rows = Rows::new(&again.source, &again.core.columns, text.as_bytes());
    let mut last = None;
    loop {
        match rows.next() {
            Next::Row(row) => last = Some(row),
            Next::End => break,
            Next::Failed { broken, .. } => return Ok(Err(format!("{}: found {}", broken.cause, broken.found))),
            Next::Disk(error) => return Ok(Err(error.to_string())),
        }
    }
    // A header that is one no more is a row before the one that counts.
    let Some(mut row) = last else { return Ok(Err("nothing of what was kept is a row".into())) };
    row.line = line;
    let place = Place { file, number: 0, durable: &BTreeMap::new(), aside: 0, head: rows.head() };
    again.core.row(&row, place, aside.received, numbers)?;
    Ok(Ok(()))
}

/// A row of XML within the elements that hold it.
fn within(row: &str, outer: &[String]) -> String {
    outer.iter().rfold(row.to_owned(), |inner, name| format!("<{name}>{inner}</{name}>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::from_files;
    use andon_model::{AssetName, Entry, SignalName, Time, Value};
    use andon_store::{Store, Write};

    fn contract(assets: &str, source: &str) -> Arc<Contract> {
        let files = [
            ("andon.yaml", "name: plant\nformat: 1\ninstances: { edge: { role: both, zone: plant } }\n".to_owned()),
            ("classes/oven.yaml", "signals: { temperature: { kind: f64, unit: Cel }, state: { kind: text } }\n".into()),
            ("assets/home.yaml", format!("site: home\nzone: plant\nassets: {{ {assets} }}\n")),
            ("sources/ovens.yaml", format!("kind: file\nfolder: /data/ovens\n{source}")),
            ("policies/ownership.yaml", "teams: { team: { mail: a@b.example } }\nrules: [{ owner: team }]\n".into()),
        ];
        let files = files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect();
        let told =
            |problems: Vec<andon_contract::Problem>| problems.iter().map(ToString::to_string).collect::<String>();
        Arc::new(from_files(files).map_err(told).unwrap().contract)
    }

    const ROWS: &str = "rows:\n  asset: \"{oven}\"\n  time: { columns: [at], form: text }\n  signals:\n    \
                        temperature: { value: temp }\n    state: { value: state }\n";

    /// What becomes of the rows of a file by an old contract that set them aside, read again by a new one.
    fn replayed(old: &Arc<Contract>, new: &Arc<Contract>, file: &str) -> Vec<Result<Vec<Value>, String>> {
        let (store, name) = (Store::memory(&mut |bytes| bytes.fill(7)), Name::new("ovens").unwrap());
        let mut numbers = |asset: &AssetName, signal: &SignalName| store.signal(asset, signal);
        let mut core = FileCore::new(old, &name, Duplicates::new([1; 4])).unwrap();
        let (_, source) = file_source(old, &name).unwrap();
        let mut rows = Rows::new(source, &core.columns, file.as_bytes());
        let mut number = 0;
        while let Next::Row(row) = rows.next() {
            let place = Place { file: "o:1.dat", number, durable: &BTreeMap::new(), aside: 0, head: rows.head() };
            core.row(&row, place, Time::from_millis(1_700_000_000_000), &mut numbers).unwrap();
            number += 1;
        }
        let aside = core.intake.take().1.into_writes().into_iter().filter_map(|write| match write {
            Write::Quarantine(row) => Some(*row),
            _ => None,
        });
        let mut again = Again::new(new, &name, Duplicates::new([1; 4])).unwrap();
        aside
            .map(|row| {
                super::again(&mut again, &row, &mut numbers).unwrap()?;
                let (parts, wrong) = again.core.intake.take();
                let anew: Vec<Write> = wrong.into_writes();
                assert!(anew.is_empty(), "{anew:?}");
                let entries = parts.into_iter().flat_map(|part| part.entries);
                Ok(entries
                    .filter_map(|e| if let Entry::Sample(sample) = e { Some(sample.value) } else { None })
                    .collect())
            })
            .collect()
    }

    #[test]
    fn rows_of_every_form_are_read_again_as_files_of_one_row() {
        let values = vec![Value::F64(20.5), Value::Text("a;b".into())];
        let forms = [
            (
                "format: csv\ncsv: { delimiter: \";\", skip: 1 }\ndecimal: \",\"\nencoding: windows-1252\n",
                "a report\nnote;oven;at;temp;state\nx;o-2;2023-11-14T22:00:00Z;20,5;\"a;b\"\n",
            ),
            (
                "format: jsonl\n",
                "\n{\"oven\": \"o-2\", \"at\": \"2023-11-14T22:00:00Z\", \"temp\": 20.5, \"state\": \"a;b\"}\n",
            ),
            (
                "format: xml\nxml: { row: /report/day/row }\n",
                "<report><day><row><oven>o-2</oven><at>2023-11-14T22:00:00Z</at><temp>20.5</temp>\
                 <state>a;b</state></row></day></report>",
            ),
        ];
        for (form, file) in forms {
            let source = format!("{form}{ROWS}");
            let old = contract("o-1: { class: oven }", &source);
            let new = contract("o-1: { class: oven }, o-2: { class: oven }", &source);
            // Set aside once for each of its columns, whole each time: the second time its samples are known.
            assert_eq!(replayed(&old, &new, file), [Ok(values.clone()), Ok(Vec::new())], "{form}");
        }
    }

    #[test]
    fn a_header_that_is_none_any_more_is_no_row() {
        let old = contract("o-1: { class: oven }", &format!("format: csv\n{ROWS}"));
        let numbers = ROWS.replace("{oven}", "{1}").replace("[at]", "[\"2\"]");
        let numbers = numbers.replace("value: temp", "value: \"3\"").replace("value: state", "value: \"4\"");
        let source = format!("format: csv\ncsv: {{ header: false }}\n{numbers}");
        let new = contract("o-1: { class: oven }, o-2: { class: oven }", &source);
        let found = replayed(&old, &new, "oven,at,temp,state\no-2,2023-11-14T22:00:00Z,20.5,on\n");
        assert_eq!(found.first(), Some(&Ok(vec![Value::F64(20.5), Value::Text("on".into())])));
    }

    #[test]
    fn what_is_no_row_says_so() {
        let contract = contract("o-1: { class: oven }", &format!("format: csv\n{ROWS}"));
        let mut again = Again::new(&contract, &Name::new("ovens").unwrap(), Duplicates::new([1; 4])).unwrap();
        let mut why = |topic: &str, bytes: &[u8]| {
            let row = QuarantineRow {
                exception: andon_model::ExceptionId::derived(&[b"x"]),
                received: Time(0),
                source: Name::new("ovens").unwrap(),
                topic: topic.into(),
                bytes: bytes.to_vec(),
                detail: String::new(),
                retained: false,
            };
            super::again(&mut again, &row, &mut |_, _| unreachable!("no row is bound")).unwrap().unwrap_err()
        };
        assert!(why("o.csv", b"oven,at\n").contains("the file as a whole"));
        assert!(why("o.csv:2", b"oven,at\nx,y").contains("no column `temp`"));
        assert!(why("o.csv:2", b"").contains("nothing of what was kept"));
    }
}
