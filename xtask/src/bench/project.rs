//! The project of the bench, written for one run: its topics carry the number of the run.

use std::fmt::Write as _;

/// How many assets the load generator speaks for.
const ASSETS: u32 = 200;

/// How many lines they stand on.
const LINES: u32 = 10;

/// The files of the project, by path.
pub(super) fn files(run: u32, qos: u8, broker: u16) -> Vec<(String, String)> {
    let same = [
        ("andon.yaml", INSTANCE),
        ("policies/ownership.yaml", OWNERSHIP),
        ("classes/machine.yaml", CLASS),
        ("rules/vibration.yaml", RULE),
    ];
    let own = [
        (format!("assets/plant{run}.yaml"), assets(run)),
        ("sources/machines.yaml".to_owned(), source(run, qos, broker)),
        ("subscribers/alarms.yaml".to_owned(), subscriber(qos, broker)),
    ];
    same.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).chain(own).collect()
}

/// The files of a project that reads a broker, without rules.
pub(super) fn reading(run: u32, qos: u8, broker: u16) -> Vec<(String, String)> {
    let class = "signals:\n  vibration: { kind: f64, unit: mm/s }\n";
    [
        ("andon.yaml".to_owned(), INSTANCE.to_owned()),
        ("policies/ownership.yaml".to_owned(), OWNERSHIP.to_owned()),
        ("classes/machine.yaml".to_owned(), class.to_owned()),
        (format!("assets/plant{run}.yaml"), assets(run)),
        ("sources/machines.yaml".to_owned(), source(run, qos, broker)),
    ]
    .into()
}

/// The files of a project that listens itself, without rules.
pub(super) fn listening(run: u32, port: u16) -> Vec<(String, String)> {
    let instance = format!(
        "\
name: bench
format: 1
instances:
  bench:
    role: both
    zone: plant
    api: 127.0.0.1:8730
    listeners:
      plant: {{ address: '127.0.0.1:{port}' }}
"
    );
    let source = format!(
        "\
kind: mqtt
listener: plant
topics:
  - topic: plant{run}/{{line}}/{{asset}}/vibration
    signals:
      vibration:
        value: /v
        time: {{ at: /ts, form: us }}
"
    );
    let class = "signals:\n  vibration: { kind: f64, unit: mm/s }\n".to_owned();
    [
        ("andon.yaml", instance),
        ("policies/ownership.yaml", OWNERSHIP.to_owned()),
        ("classes/machine.yaml", class),
        (&format!("assets/plant{run}.yaml"), assets(run)),
        ("sources/machines.yaml", source),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text))
    .collect()
}

const INSTANCE: &str = "\
name: bench
format: 1
instances:
  bench: { role: both, zone: plant, api: '127.0.0.1:8730' }
";

const OWNERSHIP: &str = "\
teams:
  bench: { mail: bench@plant.example }
rules:
  - { owner: bench }
";

const CLASS: &str = "\
signals:
  vibration: { kind: f64, unit: mm/s }
parameters:
  vibration.High: 80
  vibration.Deadband: 10
";

const RULE: &str = "\
kind: limit
on: machine.vibration
severity: { High: 700 }
";

/// The load generator says `plant<run>/line<n>/asset<nnn>`; so the site, the lines and the assets are called that.
fn assets(run: u32) -> String {
    let mut text = format!("site: plant{run}\nzone: plant\ntimezone: UTC\nassets:\n");
    for asset in 0..ASSETS {
        let _ = writeln!(text, "  asset{asset:03}: {{ class: machine, area: hall, line: line{} }}", asset % LINES);
    }
    text
}

fn source(run: u32, qos: u8, broker: u16) -> String {
    format!(
        "\
kind: mqtt
broker: mqtt://127.0.0.1:{broker}
version: 5
session: {{ expiry: 1 h }}
topics:
  - topic: plant{run}/{{line}}/{{asset}}/vibration
    qos: {qos}
    signals:
      vibration:
        value: /v
        time: {{ at: /ts, form: us }}
"
    )
}

/// An event goes back as the load generator expects it, under the topic of its signal.
fn subscriber(qos: u8, broker: u16) -> String {
    format!(
        "\
kind: mqtt
broker: mqtt://127.0.0.1:{broker}
types: [asset.alarm]
qos: {qos}
topic: events/{{site}}/{{line}}/{{asset}}/vibration
payload: >-
  ${{ {{ asset: .subject,
        state: (if .data.change == \"returned\" then \"CLEAR\" else \"ALARM\" end),
        v: (.data.value.value | tonumber),
        ts: (.time | time_us) }} }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> String {
        let files = files(42, 1, 1884);
        files.into_iter().find(|(file, _)| file == path).unwrap().1
    }

    #[test]
    fn names_are_those_of_the_load_generator() {
        let assets = text("assets/plant42.yaml");
        assert!(assets.starts_with("site: plant42\n"), "{assets}");
        assert!(assets.contains("  asset007: { class: machine, area: hall, line: line7 }\n"), "{assets}");
        assert!(assets.ends_with("  asset199: { class: machine, area: hall, line: line9 }\n"), "{assets}");
    }

    #[test]
    fn topics_carry_the_run_and_the_quality_of_service() {
        let source = text("sources/machines.yaml");
        assert!(source.contains("- topic: plant42/{line}/{asset}/vibration\n    qos: 1\n"), "{source}");
        let subscriber = text("subscribers/alarms.yaml");
        assert!(subscriber.contains("topic: events/{site}/{line}/{asset}/vibration\n"), "{subscriber}");
        assert!(subscriber.contains("${ { asset: .subject,"), "{subscriber}");
    }
}
