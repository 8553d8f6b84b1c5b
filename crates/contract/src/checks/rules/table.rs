//! Decision tables: values are made of numbers, rows test what is there, and each means something.

use super::{On, conditions, severity, version};
use crate::{
    checks::{Known, assets::Assets},
    codes,
    contract::{
        Rule, RuleKind, RuleSettings, TableForm, TableRow, TableSettings, TableTest, TableValue, TableWhat, What,
    },
    files::rules::table::{HitsWord, TableConditionFile, TableRowFile, TableRuleFile, TableValueFile},
    load::Project,
    problem::{Finding, Spot},
    read::At,
};
use andon_model::{AssetName, SignalName, span::Span, value::Kind};
use std::sync::Arc;

/// Signals, and values, of one table at most.
const NUMBERED_MAX: usize = 64;
/// The severity of rows where neither they nor their table say one.
const SEVERITY: u16 = 500;

pub(super) fn table(project: &Project, file: &TableRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    let mut reads = Reads { inputs: Vec::new(), on };
    let values: Vec<_> =
        file.values.good.iter().map(|(name, value)| self::value(project, &mut reads, name, value)).collect();
    let mut known = Known(file.values.good.iter().map(|(name, _)| name.value.clone()).collect());
    known.0.extend(file.values.spoilt.iter().cloned());
    let is_whole = values.iter().all(Option::is_some) && file.values.spoilt.is_empty() && file.rows.spoilt == 0;
    // The rows are looked at also where a value is wrong.
    let values: Vec<TableValue> = values.into_iter().flatten().collect();
    let default = match &file.severity {
        Some(at) => severity(project, at.value, at.spot)?,
        None => SEVERITY,
    };
    let rows: Vec<_> =
        file.rows.iter().map(|row| self::row(project, &mut reads, row, &values, &known, default)).collect();
    if file.rows.good.is_empty() {
        let finding = Finding::error(codes::TABLE, on.spot, "the table has no rows, so it never means anything");
        project.push(finding.expected("`rows: [{ outcome: ..., when: [...] }]`").help("add a row"));
        return None;
    }
    if reads.inputs.len() > NUMBERED_MAX || values.len() > NUMBERED_MAX {
        let message = format!("the table reads more than {NUMBERED_MAX} signals, or has more values");
        project.push(Finding::error(codes::TABLE, on.spot, message).help("divide it into several tables"));
        return None;
    }
    let rows: Vec<TableRow> = rows.into_iter().collect::<Option<_>>()?;
    if !is_whole {
        return None;
    }
    alternatives(project, file, &rows)?;
    let inputs = reads.inputs;
    let span = |at: &Option<At<crate::files::words::Duration>>| at.as_ref().map_or(Span::ZERO, |at| at.0);
    let settings = TableSettings {
        values,
        rows,
        first_only: file.hits.as_ref().is_some_and(|word| word.value == HitsWord::First),
        on_delay: span(&file.on_delay),
        off_delay: span(&file.off_delay),
    };
    let version = version(&["table", on.signal.as_str(), &format!("{inputs:?}"), &format!("{settings:?}")]);
    let kind = RuleKind::Table(Arc::new(settings));
    let settings = Arc::new(RuleSettings { inputs, ..RuleSettings::plain(kind, "1", &version) });
    let all = on.assets(project, assets).into_iter();
    let assets = all.map(|(name, _): (&AssetName, _)| (name.clone(), Arc::clone(&settings))).collect();
    Some(Rule { class: on.class.clone(), signal: on.signal.clone(), assets })
}

/// The signals that a table reads, numbered as they are mentioned.
struct Reads<'a, 'b> {
    inputs: Vec<SignalName>,
    on: &'b On<'a>,
}

impl Reads<'_, '_> {
    fn number(&mut self, signal: &SignalName) -> Option<u8> {
        if *signal == self.on.signal {
            return Some(0);
        }
        let place = self.inputs.iter().position(|known| known == signal).unwrap_or_else(|| {
            self.inputs.push(signal.clone());
            self.inputs.len() - 1
        });
        u8::try_from(place + 1).ok()
    }
}

fn wrong(project: &Project, spot: Spot, message: impl Into<String>, expected: &str, help: &str) {
    project.push(Finding::error(codes::TABLE, spot, message).expected(expected).help(help));
}

/// A number made of signals.
fn value(project: &Project, reads: &mut Reads<'_, '_>, name: &At<String>, file: &TableValueFile) -> Option<TableValue> {
    let forms = [
        (TableForm::Difference, &file.difference),
        (TableForm::Sum, &file.sum),
        (TableForm::Product, &file.product),
        (TableForm::Ratio, &file.ratio),
    ];
    let mut told = forms.iter().filter_map(|(form, of)| Some((*form, of.as_ref()?)));
    let (Some((form, of)), None) = (told.next(), told.next()) else {
        let expected = "one of `difference`, `sum`, `product`, `ratio`";
        wrong(project, name.spot, "it is not clear how this value is made", expected, "choose one of them");
        return None;
    };
    if of.len() < 2 {
        let expected = "at least two signals";
        wrong(project, of.spot, "a value is made of several signals", expected, "name another signal");
        return None;
    }
    let mut numbers = Vec::new();
    for signal in of.iter() {
        let on = reads.on;
        if !on.info.signals.has(signal) {
            let message = format!("the class `{}` has no signal `{}`", on.class, signal.value);
            project.push(on.info.signals.lacking(codes::UNKNOWN_SIGNAL, signal.spot, signal, message));
            return None;
        }
        let (found, of) = on.info.class.signals.get_key_value(signal.as_str())?;
        if matches!(of.kind, Kind::Text | Kind::Bytes) {
            let message = format!("the signal `{found}` is no number");
            wrong(project, signal.spot, message, "a signal of the kind f64, i64 or bool", "name another signal");
            return None;
        }
        numbers.push(reads.number(found)?);
    }
    let factor = file.factor.as_ref().map_or(1.0, |factor| factor.value);
    if let Some(at) = file.factor.as_ref().filter(|at| !at.is_finite() || at.value == 0.0) {
        wrong(
            project,
            at.spot,
            format!("times {} nothing is left to compare", at.value),
            "a number that is not 0",
            "correct it",
        );
        return None;
    }
    Some(TableValue { name: name.value.clone(), form, of: numbers, factor })
}

fn row(
    project: &Project,
    reads: &mut Reads<'_, '_>,
    file: &TableRowFile,
    values: &[TableValue],
    known: &Known,
    default: u16,
) -> Option<TableRow> {
    if file.outcome.is_empty() {
        wrong(project, file.outcome.spot, "an outcome is a word", "such as `overstrain`", "say what the row means");
        return None;
    }
    if file.when.good.is_empty() && file.when.spoilt == 0 {
        let message = "the row has no conditions, so it always holds";
        wrong(project, file.outcome.spot, message, "`when: [{ signal: ..., above: ... }]`", "add a condition");
        return None;
    }
    let severity = match &file.severity {
        Some(at) => severity(project, at.value, at.spot)?,
        None => default,
    };
    let tests: Vec<_> = file
        .when
        .iter()
        .map(|condition| self::test(project, reads, condition, values, known, file.outcome.spot))
        .collect();
    if file.when.spoilt > 0 {
        return None;
    }
    Some(TableRow { outcome: file.outcome.value.clone(), when: tests.into_iter().collect::<Option<_>>()?, severity })
}

fn test(
    project: &Project,
    reads: &mut Reads<'_, '_>,
    file: &TableConditionFile,
    values: &[TableValue],
    known: &Known,
    at: Spot,
) -> Option<TableTest> {
    match (&file.signal, &file.value) {
        (Some(_), None) => {
            let condition = conditions::of_signal(project, reads.on, &file.plain(), at)?;
            let What::Signal(signal) = &condition.what else { return None };
            Some(TableTest { what: TableWhat::Input(reads.number(signal)?), test: condition.test })
        }
        (None, Some(name)) => {
            if !known.has(name) {
                let message = format!("the table has no value `{}`", name.value);
                project.push(known.lacking(codes::TABLE, name.spot, name, message));
                return None;
            }
            let place = values.iter().position(|value| value.name == name.value)?;
            let told = format!("the value `{}`, a number", name.value);
            let test = conditions::of_number(project, &file.plain(), told, name.spot)?;
            Some(TableTest { what: TableWhat::Value(u8::try_from(place).ok()?), test })
        }
        (found, _) => {
            let message =
                if found.is_some() { "the condition looks at two things" } else { "the condition looks at nothing" };
            let spot = file.signal.as_ref().map_or(at, |at| at.spot);
            wrong(project, spot, message, "`signal: <name>` or `value: <name>`", "write one condition for each thing");
            None
        }
    }
}

/// Rows of one outcome are one alarm, and an alarm has one severity.
fn alternatives(project: &Project, file: &TableRuleFile, rows: &[TableRow]) -> Option<()> {
    for (at, row) in rows.iter().enumerate() {
        let first = rows.iter().take(at).find(|other| other.outcome == row.outcome);
        let Some(first) = first.filter(|first| first.severity != row.severity) else { continue };
        let written = file.rows.iter().nth(at);
        let spot = written.map(|row| row.severity.as_ref().map_or(row.outcome.spot, |at| at.spot))?;
        let message = format!(
            "rows of the outcome `{}` are one alarm, and have the severities {} and {}",
            row.outcome, first.severity, row.severity
        );
        wrong(project, spot, message, "one severity for all of them", "give both the same, or another outcome");
        return None;
    }
    Some(())
}
