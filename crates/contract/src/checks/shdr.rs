//! Adapters of `MTConnect`: data items that lead to signals of kinds which can hold them.

use super::{
    connect::{Form, address},
    sources::Scope,
};
use crate::{
    codes,
    contract::{ItemForm, ShdrSource},
    files::shdr::ShdrSourceFile,
    load::Project,
    problem::{Finding, Where},
    read::At,
};
use andon_model::{AssetName, Name, SignalName, span::Span, value::Kind};
use std::collections::BTreeMap;

/// How often a sign of life is asked for unless told.
const HEARTBEAT: Span = Span::from_secs(10);
/// The longest pace of signs of life; adapters take none longer.
const HEARTBEAT_MAX: Span = Span::from_secs(1_800);

/// An adapter.
const SHDR: Form = Form { schemes: &["shdr"], not_built: &[], path: false, example: "shdr://host:7878" };

/// What an adapter is, as far as it is right.
pub(crate) fn shdr(project: &Project, file: &ShdrSourceFile, name: &Name, scope: &Scope<'_>) -> Option<ShdrSource> {
    let adapter = address(project, &file.adapter, &SHDR);
    let asset = asset(project, file, name, scope)?;
    let items = items(project, file, asset.as_ref(), scope);
    let forms = file.forms.good.iter().map(|(item, form)| (item.value.clone(), form.value)).collect();
    for (item, form) in &file.forms.good {
        form_fits(project, item, form, &items, asset.as_ref(), scope);
    }
    let heartbeat = file.heartbeat.as_ref().map_or(HEARTBEAT, |span| span.0);
    if let Some(span) = &file.heartbeat
        && !(Span::from_secs(1)..=HEARTBEAT_MAX).contains(&heartbeat)
    {
        let finding =
            Finding::error(codes::SHDR_HEARTBEAT, span.spot, format!("a heartbeat of {heartbeat} cannot be kept"));
        project.push(finding.expected("1 s to 30 min").help("correct the duration"));
    }
    let others = file.others.unwrap_or_default();
    Some(ShdrSource { adapter: adapter?, asset, items, forms, others, heartbeat })
}

/// The asset of items without a device. `None` where what stands there is wrong.
#[expect(clippy::option_option, reason = "wrong, absent and present are three things")]
fn asset(project: &Project, file: &ShdrSourceFile, name: &Name, scope: &Scope<'_>) -> Option<Option<AssetName>> {
    let assets = scope.assets;
    if let Some(text) = &file.asset {
        let found = assets.known_assets.expect(project, codes::UNKNOWN_ASSET, text.spot, "asset", text);
        return found.then(|| AssetName::new(text).ok()).flatten().map(Some);
    }
    let has_device = assets.assets.values().any(|asset| asset.asset.addresses.contains_key(name));
    if !has_device && assets.whole {
        let message = "nothing says which asset the data items are of";
        let finding = Finding::error(codes::SHDR_ASSET, file.adapter.spot, message);
        let expected = format!("`asset: <name>`, or assets with `addresses: {{ {name}: <device> }}`");
        project.push(finding.expected(expected).help("name the asset of items that stand without a device"));
        return None;
    }
    Some(None)
}

fn items(
    project: &Project,
    file: &ShdrSourceFile,
    asset: Option<&AssetName>,
    scope: &Scope<'_>,
) -> BTreeMap<String, SignalName> {
    let mut items = BTreeMap::new();
    let mut taken: BTreeMap<(Option<&str>, &str), &At<String>> = BTreeMap::new();
    for (item, signal) in &file.items.good {
        let device = item.value.split_once(':').map(|(device, _)| device);
        if let Some(earlier) = taken.insert((device, signal.as_str()), item) {
            let line = project.findings.line_of(earlier.spot);
            let message = format!("the signal `{}` is taken by `{}` of {line}", signal.value, earlier.value);
            let finding = Finding::error(codes::SHDR_ITEM, item.spot, message);
            project.push(finding.help("give each data item a signal of its own: two in one cannot be told apart"));
        }
        if let Some(signal) = known_signal(project, signal, asset.filter(|_| device.is_none()), scope) {
            items.insert(item.value.clone(), signal);
        }
    }
    items
}

/// A signal of the asset's class, or of any class where the asset is not known here.
fn known_signal(
    project: &Project,
    signal: &At<String>,
    asset: Option<&AssetName>,
    scope: &Scope<'_>,
) -> Option<SignalName> {
    let class = asset.and_then(|asset| scope.assets.assets.get(asset)).map(|info| &info.asset.class);
    let of_class = class.and_then(|class| scope.classes.good.get(class));
    let known = match of_class {
        Some(class) => class.class.signals.contains_key(signal.as_str()),
        None => scope.signals.has(signal) || scope.classes.good.len() != scope.classes.known.0.len(),
    };
    if !known {
        project.push(scope.signals.unknown(codes::UNKNOWN_SIGNAL, signal.spot, "signal", signal));
        return None;
    }
    SignalName::new(signal).ok()
}

/// A condition or a message needs a text, a time series numbers.
fn form_fits(
    project: &Project,
    item: &At<String>,
    form: &At<ItemForm>,
    items: &BTreeMap<String, SignalName>,
    asset: Option<&AssetName>,
    scope: &Scope<'_>,
) {
    let by_name = || SignalName::new(item.value.rsplit(':').next().unwrap_or_default()).ok();
    let Some(signal) = items.get(&item.value).cloned().or_else(by_name) else { return };
    let Some(class) = asset.and_then(|asset| scope.assets.assets.get(asset)).map(|info| &info.asset.class) else {
        return;
    };
    let Some(known) = scope.classes.good.get(class).and_then(|class| class.class.signals.get(&signal)) else { return };
    let fits = match form.value {
        ItemForm::Condition => matches!(known.kind, Kind::Text | Kind::I64 | Kind::F64),
        ItemForm::Message | ItemForm::DataSet => known.kind == Kind::Text,
        ItemForm::TimeSeries => matches!(known.kind, Kind::I64 | Kind::F64),
    };
    if !fits {
        let expected = match form.value {
            ItemForm::Condition => "`text` (everything that is said), or `i64` (0 normal, 1 warning, 2 fault)",
            ItemForm::Message | ItemForm::DataSet => "`text`",
            ItemForm::TimeSeries => "`f64` or `i64`",
        };
        let message = format!("the signal `{signal}` cannot hold what a {} says", form.value.word());
        let finding = Finding::error(codes::SHDR_FORM, Where::Node(form.spot), message).expected(expected);
        project.push(finding.help("change the kind of the signal in its class, or the form here"));
    }
}
