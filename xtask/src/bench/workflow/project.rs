//! The project of the bench: one workflow that calls four capabilities, one that only waits.

use std::fmt::Write as _;

/// Where runs of four tasks are started.
pub(super) const HANDLE: &str = "/v1/workflows/handle/runs";
/// Where runs that wait are started.
pub(super) const REST: &str = "/v1/workflows/rest/runs";

/// Where runs are started that call five systems of six.
pub(super) const FIVE: &str = "/v1/workflows/five/runs";
/// Where runs are started that call the sixth.
pub(super) const SIXTH: &str = "/v1/workflows/sixth/runs";

/// The systems: name, capability, path at the stub.
const SYSTEMS: [(&str, &str, &str); 4] = [
    ("eam", "maintenance.open-order", "/eam/workorders"),
    ("erp", "production.report-fault", "/erp/maintenance"),
    ("inventory", "inventory.check-part", "/inventory/check"),
    ("qms", "quality.open-notification", "/qms/notifications"),
];

/// The files, by path; the systems answer at this port.
pub(super) fn files(port: u16) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = [
        ("andon.yaml", INSTANCE),
        ("policies/ownership.yaml", OWNERSHIP),
        ("assets/plant.yaml", ASSETS),
        ("classes/machine.yaml", CLASS),
        ("schemas/Job-1.0.yaml", SCHEMA),
        ("workflows/rest.yaml", WAITING),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into();
    let (mut routes, mut handle) = (String::new(), WORKFLOW.to_owned());
    for (system, capability, path) in SYSTEMS {
        let domain = capability.split('.').next().unwrap_or_default();
        files.push((format!("capabilities/{capability}.yaml"), of_capability(domain)));
        files.push((format!("systems/{system}.yaml"), of_system(capability, path, port)));
        let _ = writeln!(routes, "- {{ capability: {capability}, site: '*', use: {system}.write }}");
        let _ = writeln!(handle, "  - {system}:\n      call: {capability}\n      with: {INPUT}");
    }
    files.push(("routes.yaml".to_owned(), routes));
    files.push(("workflows/handle.yaml".to_owned(), handle));
    files
}

/// The files of a project with six systems: five are called in turn by one workflow, the sixth by another.
pub(super) fn six(port: u16, sixth: u16) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = files(port);
    all.retain(|(path, _)| {
        !["systems/", "capabilities/", "workflows/", "routes"].iter().any(|of| path.starts_with(of))
    });
    let (mut routes, mut five) = (String::new(), WORKFLOW.replace("name: handle", "name: five"));
    for (number, name) in ["first", "second", "third", "fourth", "fifth", "sixth"].into_iter().enumerate() {
        let capability = format!("production.report-{name}");
        let path = SYSTEMS.get(number % SYSTEMS.len()).map_or("", |(_, _, path)| path);
        // The sixth may hang: an attempt at it ends while it is measured.
        let (to, timeout) = if name == "sixth" { (sixth, "2 s") } else { (port, "10 s") };
        let system = of_system(&capability, path, to).replace("timeout: 10 s", &format!("timeout: {timeout}"));
        all.push((format!("capabilities/{capability}.yaml"), of_capability("production")));
        all.push((format!("systems/{name}.yaml"), system));
        let _ = writeln!(routes, "- {{ capability: {capability}, site: '*', use: {name}.write }}");
        let task = format!("  - {name}:\n      call: {capability}\n      with: {INPUT}\n");
        if name == "sixth" {
            let text = WORKFLOW.replace("name: handle", "name: sixth") + &task;
            all.push(("workflows/sixth.yaml".to_owned(), text));
        } else {
            five.push_str(&task);
        }
    }
    all.push(("routes.yaml".to_owned(), routes));
    all.push(("workflows/five.yaml".to_owned(), five));
    all
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

const ASSETS: &str = "\
site: plant
zone: plant
timezone: UTC
assets:
  asset017: { class: machine }
";

const CLASS: &str = "\
signals:
  vibration: { kind: f64, unit: mm/s }
";

const SCHEMA: &str = "\
$schema: https://json-schema.org/draft/2020-12/schema
type: object
required: [asset, state, v]
additionalProperties: false
properties:
  asset: { type: string }
  state: { type: string }
  v: { type: number }
";

const WORKFLOW: &str = "\
document:
  dsl: 1.0.3
  namespace: bench
  name: handle
  version: 1.0.0
do:
";

const WAITING: &str = "\
document:
  dsl: 1.0.3
  namespace: bench
  name: rest
  version: 1.0.0
do:
  - rest:
      wait: { hours: 12 }
";

const INPUT: &str = "{ asset: \"${ $workflow.input.asset }\", state: \"${ $workflow.input.state }\", \
                     v: \"${ $workflow.input.v }\" }";

fn of_capability(domain: &str) -> String {
    format!(
        "\
version: 1
domain: {domain}
owner: bench
effect: creates Document
input: {{ schema: Job/1 }}
output: {{ document: string, ok: boolean }}
"
    )
}

/// The stub knows a call by its header: with the reference in it, it counts what has the same key.
fn of_system(capability: &str, path: &str, port: u16) -> String {
    format!(
        "\
protocol: rest
base: http://127.0.0.1:{port}
zone: plant
timeout: 10 s
limits: {{ concurrent: 128 }}
operations:
  write:
    implements: {capability}
    idempotency: key
    request:
      method: POST
      path: {path}
      headers: {{ x-wf: \"${{ $reference }}\" }}
      body: {{ asset: \"${{ .asset }}\", state: \"${{ .state }}\", v: \"${{ .v }}\" }}
    response:
      document: ${{ .id }}
      output: {{ document: \"${{ .id }}\", ok: \"${{ .ok }}\" }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_system_stands_alone() {
        let files = six(4711, 4712);
        let text = |path: &str| files.iter().find(|(file, _)| file == path).unwrap().1.clone();
        assert!(text("systems/sixth.yaml").contains("base: http://127.0.0.1:4712\n"));
        assert_eq!(text("workflows/five.yaml").matches("call: ").count(), 5);
        assert_eq!(text("workflows/sixth.yaml").matches("call: ").count(), 1);
        assert_eq!(text("routes.yaml").lines().count(), 6);
    }

    #[test]
    fn each_system_has_its_file_and_its_task() {
        let files = files(4711);
        let text = |path: &str| files.iter().find(|(file, _)| file == path).unwrap().1.clone();
        assert!(text("systems/qms.yaml").contains("base: http://127.0.0.1:4711\n"));
        assert_eq!(text("routes.yaml").lines().count(), 4);
        assert!(text("workflows/handle.yaml").contains("  - erp:\n      call: production.report-fault\n"));
        assert!(text("capabilities/quality.open-notification.yaml").contains("domain: quality\n"));
    }
}
