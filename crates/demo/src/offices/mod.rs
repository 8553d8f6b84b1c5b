//! The ten systems of record of the examples: pure state machines, what they keep, and how they are asked.
//!
//! An office is a function from what it keeps, a request and the present time to an answer and the lines it writes
//! ([`Offices::decide`]). All that it keeps are these lines ([`Documents`]): reading its file again is its restart.
//! What goes on by itself (a repair, the release of an order, a result of the lab) is a function of the present time.

mod crm;
mod desk;
mod documents;
mod eam;
mod fields;
mod file;
mod format;
mod lab;
mod legacy_erp;
mod life;
mod maximo;
mod plan;
mod planning;
mod post;
mod qms;
mod s4;
mod supplier;
mod wms;

pub use self::{
    crm::{CLIENT_ID, CLIENT_SECRET},
    desk::Desk,
    documents::{Documents, Line},
    lab::HOOK_SECRET,
    life::Repair,
    maximo::API_KEY,
    plan::Plan,
    post::Post,
};

pub(crate) use self::fields::form;

use andon_model::Time;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The longest `Idempotency-Key`.
const KEY_MAX_CHARS: usize = 64;

/// An office there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfficeKind {
    /// Maintenance in the dialect of IBM Maximo.
    Maximo,
    /// Maintenance of a kind of its own.
    Eam,
    /// Production orders in the dialect of SAP S/4HANA (`OData` 2).
    S4,
    /// Production orders of an ERP that somebody gave a REST interface.
    LegacyErp,
    /// The warehouse.
    Wms,
    /// Quality incidents.
    Qms,
    /// The laboratory, which posts its results.
    Lab,
    /// Customers' cases in the dialect of Salesforce.
    Crm,
    /// Production planning.
    Planning,
    /// The supplier of the packaging material.
    Supplier,
}

/// All offices, in the order they are shown.
pub fn offices() -> [OfficeKind; 10] {
    use OfficeKind::{Crm, Eam, Lab, LegacyErp, Maximo, Planning, Qms, S4, Supplier, Wms};
    [Maximo, Eam, S4, LegacyErp, Wms, Qms, Lab, Crm, Planning, Supplier]
}

impl OfficeKind {
    /// The name on the command line and in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maximo => "maximo",
            Self::Eam => "eam",
            Self::S4 => "s4",
            Self::LegacyErp => "legacy-erp",
            Self::Wms => "wms",
            Self::Qms => "qms",
            Self::Lab => "lab",
            Self::Crm => "crm",
            Self::Planning => "planning",
            Self::Supplier => "supplier",
        }
    }

    /// What it is, in one line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Maximo => "maintenance in the dialect of Maximo: service requests at POST /api/os/mxapisr",
            Self::Eam => "a maintenance system that takes requests at POST /requests and finds them by reference",
            Self::S4 => "production orders in the dialect of S/4HANA: OData 2 at API_PRODUCTION_ORDER_2_SRV",
            Self::LegacyErp => "production orders of an older ERP: REST at /api/orders, times without zone",
            Self::Wms => "a warehouse: stock, reservations, shortages and movements",
            Self::Qms => "quality incidents, opened with an idempotency key and closed",
            Self::Lab => "a laboratory that tests samples of lots and posts its results, signed",
            Self::Crm => "customers' cases in the dialect of Salesforce: upsert by an external id",
            Self::Planning => "production planning: disruptions and reschedules of orders, with the promised date",
            Self::Supplier => "a supplier that takes notices",
        }
    }

    /// The kinds of lines in its file.
    pub fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Maximo => maximo::KINDS,
            Self::Eam => eam::KINDS,
            Self::S4 => s4::KINDS,
            Self::LegacyErp => legacy_erp::KINDS,
            Self::Wms => wms::KINDS,
            Self::Qms => qms::KINDS,
            Self::Lab => lab::KINDS,
            Self::Crm => crm::KINDS,
            Self::Planning => planning::KINDS,
            Self::Supplier => supplier::KINDS,
        }
    }

    /// The office of this name, where there is one.
    pub fn named(name: &str) -> Option<Self> {
        offices().into_iter().find(|office| office.name() == name)
    }
}

/// An HTTP request, taken apart.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The segments of the path below the office, decoded.
    pub path: Vec<String>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Method and segments, to be matched.
    pub(crate) fn target(&self) -> (&str, Vec<&str>) {
        (&self.method, self.path.iter().map(String::as_str).collect())
    }

    /// The path as text, for messages.
    pub(crate) fn place(&self) -> String {
        format::short(&format!("/{}", self.path.join("/")))
    }

    /// The first header of this name (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The first value of this name in the query.
    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// What the caller calls what it asks for (`Idempotency-Key`), or the answer that it must.
    pub(crate) fn key(&self) -> Result<&str, Box<Reply>> {
        match self.header("idempotency-key") {
            Some(key) if (1..=KEY_MAX_CHARS).contains(&key.chars().count()) => Ok(key),
            _ => {
                let detail = format!("the header Idempotency-Key must have 1 to {KEY_MAX_CHARS} characters");
                Err(Box::new(Reply::problem(400, "Bad Request", &detail)))
            }
        }
    }

    /// The content type without its parameters, in lower case.
    pub(crate) fn content_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }
}

/// What an office answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers; without a `content-type` the body is `application/json`.
    pub headers: Vec<(&'static str, String)>,
    /// The body; `Null` is none.
    pub body: Json,
    /// What this answer promises: durable before it is sent.
    pub lines: Vec<Line>,
}

impl Reply {
    /// An answer that writes nothing.
    pub(crate) fn new(status: u16, body: Json) -> Self {
        Self { status, headers: Vec::new(), body, lines: Vec::new() }
    }

    /// A problem as modern systems answer it (RFC 9457).
    pub(crate) fn problem(status: u16, title: &str, detail: &str) -> Self {
        let body = json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
        Self::new(status, body).with("content-type", "application/problem+json")
    }

    /// A key that came before, with other content.
    pub(crate) fn key_used() -> Self {
        Self::problem(422, "Unprocessable Content", "the Idempotency-Key came before with another body")
    }

    /// Nothing is there.
    pub(crate) fn nothing_at(request: &Request) -> Self {
        Self::problem(404, "Not Found", &format!("there is nothing at {}", request.place()))
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a line that must be durable first.
    pub(crate) fn writing(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }
}

/// All offices with what they keep, in memory. [`Desk`] adds their files.
#[derive(Debug)]
pub struct Offices {
    plan: Plan,
    kept: BTreeMap<OfficeKind, Documents>,
    /// Posts that were taken, by id.
    posted: BTreeSet<String>,
}

impl Offices {
    /// Offices that have kept nothing yet. The first order of each line runs at `start` (see [`Plan`]).
    pub fn new(start: Time) -> Self {
        let kept = offices().into_iter().map(|office| (office, Documents::default())).collect();
        Self { plan: Plan::from(start), kept, posted: BTreeSet::new() }
    }

    /// What an office keeps, in the order of writing.
    pub fn kept(&self, office: OfficeKind) -> &Documents {
        static NONE: Documents = Documents::new();
        self.kept.get(&office).unwrap_or(&NONE)
    }

    /// The answer to a request. Nothing changes yet, so that the lines can be made durable first.
    pub fn decide(&self, office: OfficeKind, request: &Request, now: Time) -> Reply {
        let kept = self.kept(office);
        if request.method != "GET" && kept.is_full() {
            return Reply::problem(503, "Service Unavailable", "the office is full");
        }
        match office {
            OfficeKind::Maximo => maximo::decide(kept, request, now),
            OfficeKind::Eam => eam::decide(kept, request, now),
            OfficeKind::S4 => s4::decide(kept, self.plan, request, now),
            OfficeKind::LegacyErp => legacy_erp::decide(kept, self.plan, request, now),
            OfficeKind::Wms => wms::decide(kept, request, now),
            OfficeKind::Qms => qms::decide(kept, request, now),
            OfficeKind::Lab => lab::decide(kept, request, now),
            OfficeKind::Crm => crm::decide(kept, request, now),
            OfficeKind::Planning => planning::decide(kept, self.plan, request, now),
            OfficeKind::Supplier => supplier::decide(kept, request, now),
        }
    }

    /// Keeps a line, new or read from an office's file; `Err` says why it cannot be one of this office.
    pub fn keep(&mut self, office: OfficeKind, line: Line) -> Result<(), String> {
        if !office.kinds().contains(&line.kind.as_str()) {
            return Err(format!("{:?} is no kind of line of {}", format::short(&line.kind), office.name()));
        }
        self.kept.entry(office).or_default().keep(line)
    }

    /// Answers a request and keeps what it writes. Whoever has files writes them first: [`Desk::answer`].
    pub fn answer(&mut self, office: OfficeKind, request: &Request, now: Time) -> Reply {
        let reply = self.decide(office, request, now);
        for line in &reply.lines {
            // A document that `decide` gave is new, so it is never refused.
            let _ = self.keep(office, line.clone());
        }
        reply
    }

    /// What the offices write by themselves: the lab takes a sample for each incident.
    pub fn due(&self, now: Time) -> Vec<(OfficeKind, Line)> {
        let samples = lab::samples(self.kept(OfficeKind::Lab), self.kept(OfficeKind::Qms), now);
        samples.into_iter().map(|line| (OfficeKind::Lab, line)).collect()
    }

    /// Lets the offices do what is due, and keeps it.
    pub fn pass(&mut self, now: Time) {
        for (office, line) in self.due(now) {
            let _ = self.keep(office, line);
        }
    }

    /// How far the repair of an asset (by the name of the project) is, in whichever system it was asked for.
    pub fn repair(&self, asset: &str, now: Time) -> Repair {
        life::repair(asset, self.kept(OfficeKind::Maximo), self.kept(OfficeKind::Eam), now)
    }

    /// What the lab has to post and nobody has taken yet, oldest first. It is the same with the same id until
    /// [`Offices::posted`] says that it was taken; after a restart everything is posted once more.
    pub fn posts(&self, now: Time) -> Vec<Post> {
        let posts = lab::posts(self.kept(OfficeKind::Lab), now);
        posts.into_iter().filter(|post| !self.posted.contains(&post.id)).collect()
    }

    /// A post was answered with 2xx.
    pub fn posted(&mut self, id: &str) {
        self.posted.insert(id.to_owned());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Asks an office as a caller would, without a network.
    pub(crate) trait Asked {
        /// `target` is path and query, as in an address; what has a body is sent as JSON.
        fn ask_with(
            &mut self,
            office: OfficeKind,
            method: &str,
            target: &str,
            body: &str,
            headers: &[(&str, &str)],
            now: Time,
        ) -> Reply;

        fn ask(&mut self, office: OfficeKind, method: &str, target: &str, body: &str, now: Time) -> Reply {
            self.ask_with(office, method, target, body, &[], now)
        }
    }

    impl Asked for Offices {
        fn ask_with(
            &mut self,
            office: OfficeKind,
            method: &str,
            target: &str,
            body: &str,
            headers: &[(&str, &str)],
            now: Time,
        ) -> Reply {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let mut all = vec![("content-type".to_owned(), "application/json".to_owned())];
            all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            let request = Request {
                method: method.into(),
                path: path.split('/').skip(1).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
                query: fields::form(query.as_bytes()),
                headers: all,
                body: body.into(),
            };
            self.answer(office, &request, now)
        }
    }
}
