//! One JSON object a line.

use super::{
    Broken, Cell, Next, ROW_MAX, Row,
    decode::{Lines, Text},
};
use crate::{
    payload::{self, Leaf},
    problem::quote,
};
use serde_json::Value as Json;
use std::io::Read;

/// The rows of a file of JSON lines.
pub(crate) struct JsonRows<R> {
    /// By wanted column: the steps to it.
    columns: Vec<Vec<String>>,
    lines: Lines<R>,
    line: u64,
}

impl<R: Read> JsonRows<R> {
    pub(crate) fn new(columns: &[String], text: Text<R>) -> Self {
        let steps = |column: &String| match column.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None => vec![column.clone()],
        };
        Self { columns: columns.iter().map(steps).collect(), lines: Lines::new(text, ROW_MAX), line: 0 }
    }

    pub(crate) fn next(&mut self) -> Next {
        loop {
            let mut raw = String::new();
            match self.lines.next(&mut raw) {
                Ok(true) => {}
                Ok(false) => return Next::End,
                Err(error) => return Next::Disk(error),
            }
            self.line += 1;
            let mut cells = None;
            if raw.len() > ROW_MAX - 4 && !raw.ends_with('\n') && !self.lines.at_end() {
                let mut rest = String::new();
                loop {
                    match self.lines.next(&mut rest) {
                        Ok(true) if !rest.ends_with('\n') => rest.clear(),
                        Ok(_) => break,
                        Err(error) => return Next::Disk(error),
                    }
                }
                cells = Some(Err(Broken::new("too-long", "a row is longer than 1 MiB", "its end is left out")));
            }
            raw.truncate(raw.trim_end().len());
            if raw.trim_start().is_empty() {
                continue;
            }
            let cells = cells.unwrap_or_else(|| self.cells(&raw));
            return Next::Row(Row { line: self.line, raw, cells });
        }
    }

    fn cells(&self, raw: &str) -> Result<Vec<Cell>, Broken> {
        if raw.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Broken::new("encoding", "the row holds bytes that are no text in the encoding", quote(raw)));
        }
        let tree = payload::parse(raw.trim().as_bytes()).map_err(|not| Broken::new(not.code, not.cause, not.detail))?;
        if !tree.is_object() {
            return Err(Broken::new("no-object", "the line is no JSON object", quote(raw)));
        }
        let cell = |steps: &Vec<String>| {
            let found = steps.iter().try_fold(&tree, |at, step| match at {
                Json::Array(items) => step.parse::<usize>().ok().and_then(|n| items.get(n)),
                other => other.get(step),
            });
            match found.map(payload::leaf_of) {
                None | Some(Leaf::Absent | Leaf::Null) => Cell::Absent,
                Some(leaf) => Cell::Json(leaf),
            }
        };
        Ok(self.columns.iter().map(cell).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_keys_are_columns() {
        let text = "{\"a\":1.5,\"b\":{\"c\":[true,\"x\"]}}\n\nnot json\n[1]\n{\"a\":null}\n";
        let columns = ["a", "/b/c/1", "/b/c/0"].map(str::to_owned);
        let mut rows = JsonRows::new(&columns, Text::new("utf-8", text.as_bytes()));
        let Next::Row(row) = rows.next() else { panic!("a row") };
        let cells =
            vec![Cell::Json(Leaf::Float(1.5)), Cell::Json(Leaf::Text("x".into())), Cell::Json(Leaf::Bool(true))];
        assert_eq!((row.line, row.cells), (1, Ok(cells)));
        for (line, code) in [(3, "not-json"), (4, "no-object")] {
            let Next::Row(row) = rows.next() else { panic!("a row") };
            let broken = row.cells.unwrap_err();
            assert_eq!(row.line, line);
            assert!(broken.code == code || code == "not-json", "{broken:?}");
        }
        let Next::Row(row) = rows.next() else { panic!("a row") };
        assert_eq!(row.cells.unwrap(), vec![Cell::Absent; 3]);
        assert!(matches!(rows.next(), Next::End));
    }
}
