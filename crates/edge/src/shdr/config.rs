//! What the data items of an adapter mean: the table of a source, with a memory of what was looked up.

use crate::{
    mapping::Numbers,
    mqtt::transport::without_credentials,
    problem::{Problem, quote},
};
use andon_contract::contract::{Contract, ItemForm, ShdrSource};
use andon_model::{AssetName, Name, SignalName, SignalNo, value::Kind};
use andon_store::StoreError;
use std::collections::HashMap;

/// Data items that are remembered; one more, and all are looked up anew.
pub const ITEMS_MAX: usize = 100_000;
/// Bytes of their names; one more, and all are looked up anew.
pub const ITEM_BYTES_MAX: usize = 16 << 20;
/// The port where an address names none.
pub const PORT: u16 = 7_878;

/// What a data item is bound to.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    /// Its asset's site.
    pub(super) site: andon_model::SiteName,
    /// Its signal's number.
    pub(super) no: SignalNo,
    /// The kind of its values.
    pub(super) kind: Kind,
    /// What its values can be.
    pub(super) range: Option<(f64, f64)>,
    /// How its value is written.
    pub(super) form: Option<ItemForm>,
}

/// The data items of a source.
pub(super) struct Table {
    source: Name,
    shdr: ShdrSource,
    /// Assets by what the adapter calls their devices.
    devices: HashMap<String, AssetName>,
    known: HashMap<String, Result<Binding, Problem>>,
    bytes: usize,
}

impl Table {
    pub(super) fn new(contract: &Contract, name: &Name, shdr: &ShdrSource) -> Self {
        let called = |(asset, is): (&AssetName, &andon_contract::contract::Asset)| {
            (is.addresses.get(name).cloned().unwrap_or_else(|| asset.to_string()), asset.clone())
        };
        Self {
            source: name.clone(),
            shdr: shdr.clone(),
            devices: contract.assets.iter().map(called).collect(),
            known: HashMap::new(),
            bytes: 0,
        }
    }

    /// What an item means; `device` is the one that the adapter has named for all that follows.
    pub(super) fn find(
        &mut self,
        contract: &Contract,
        key: &str,
        device: Option<&str>,
        numbers: &mut Numbers<'_>,
    ) -> Result<&Result<Binding, Problem>, StoreError> {
        let full = match device {
            Some(device) if !key.contains(':') => format!("{device}:{key}"),
            _ => key.to_owned(),
        };
        if !self.known.contains_key(&full) {
            if self.known.len() >= ITEMS_MAX || self.bytes + full.len() > ITEM_BYTES_MAX {
                self.known.clear();
                self.bytes = 0;
            }
            let found = self.bind(contract, &full, numbers)?;
            self.bytes += full.len();
            self.known.insert(full.clone(), found);
        }
        Ok(self.known.get(&full).expect("it was put there"))
    }

    fn bind(
        &self,
        contract: &Contract,
        key: &str,
        numbers: &mut Numbers<'_>,
    ) -> Result<Result<Binding, Problem>, StoreError> {
        let (device, item) = key.split_once(':').map_or((None, key), |(device, item)| (Some(device), item));
        let unknown = |code, cause: String, remedy: &str| {
            let detail = format!("data item {}", quote(key));
            Ok(Err(Problem { code, place: quote(key), cause, detail, remedy: remedy.into() }))
        };
        let asset = device.map_or(self.shdr.asset.as_ref(), |device| self.devices.get(device));
        let Some((asset, is)) = asset.and_then(|asset| contract.assets.get_key_value(asset)) else {
            let cause = match device {
                Some(device) => format!("no asset has the device {} as its address in the source", quote(device)),
                None => "the data item stands without a device".to_owned(),
            };
            let remedy = "say `asset` in the source, or give an asset the device as its address in this source";
            return unknown("unknown-device", cause, remedy);
        };
        let named = self.shdr.items.get(key).or_else(|| self.shdr.items.get(item));
        let class = contract.classes.get(&is.class);
        let signals = class.map(|class| &class.signals);
        let by_name = |name: &str| signals.and_then(|signals| signals.get_key_value(name));
        let found = match named {
            Some(signal) => by_name(signal.as_str()),
            None => by_name(item).or_else(|| by_name(&hyphenated(item))),
        };
        let Some((signal, of)) = found else {
            let cause = format!("no signal of the class `{}` takes this data item", is.class);
            let remedy = format!(
                "name its signal under `items` of the source `{}`, add a signal `{}` to the class, or say \
                 `others: ignore`",
                self.source,
                shown_name(item)
            );
            return unknown("unknown-item", cause, &remedy);
        };
        let form = self.shdr.forms.get(key).or_else(|| self.shdr.forms.get(item)).copied();
        let no = numbers(asset, signal)?;
        Ok(Ok(Binding { site: is.site.clone(), no, kind: of.kind, range: of.range, form }))
    }
}

/// The name that a signal for the item may have.
fn shown_name(item: &str) -> String {
    let name = hyphenated(item);
    if SignalName::new(&name).is_ok() { name } else { "...".into() }
}

/// A name in lower case with hyphens: `S1ChuckState` becomes `s1-chuck-state`.
pub fn hyphenated(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at + 1);
        let begins = c.is_ascii_uppercase()
            && before.is_some_and(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || (b.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if begins && !text.ends_with('-') {
            text.push('-');
        }
        match c {
            '_' | ' ' if !text.is_empty() && !text.ends_with('-') => text.push('-'),
            '_' | ' ' => {}
            c => text.push(c.to_ascii_lowercase()),
        }
    }
    text
}

/// Host and port of an adapter: `shdr://host:port`.
pub fn host_and_port(address: &str) -> Result<(String, u16), String> {
    let wrong = || {
        let shown = without_credentials(address);
        format!("{shown:?} is no address of an adapter: expected shdr://host:7878")
    };
    let rest = address.trim().strip_prefix("shdr://").ok_or_else(wrong)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '@', '?', '#']) {
        return Err(wrong());
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']').ok_or_else(wrong)?;
            (host, after.strip_prefix(':'))
        }
        None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| wrong()))?;
    if host.is_empty() || port == 0 { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_hyphens() {
        for (item, name) in [
            ("S1ChuckState", "s1-chuck-state"),
            ("p1CMODryRun", "p1-cmo-dry-run"),
            ("CoolantSystem1_cond", "coolant-system1-cond"),
            ("avail", "avail"),
            ("X1load", "x1load"),
            ("_a__b", "a-b"),
        ] {
            assert_eq!(hyphenated(item), name);
        }
    }

    #[test]
    fn addresses_read_as_people_write_them() {
        assert_eq!(host_and_port("shdr://lathe").unwrap(), ("lathe".into(), 7_878));
        assert_eq!(host_and_port("shdr://[::1]:5/").unwrap(), ("::1".into(), 5));
        for wrong in ["", "lathe:7878", "shdr://", "shdr://a:x", "shdr://a:0", "shdr://a/b", "mqtt://a"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
        assert!(!host_and_port("shdr://me:secret@lathe").unwrap_err().contains("secret"));
    }
}
