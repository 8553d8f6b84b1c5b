//! Tables of items and answers, and what they tell.

use super::*;
use andon_contract::{contract::Identifiers, from_files};
use std::collections::BTreeMap;

/// The reads of a project whose system `erp` has these.
pub(super) fn reads(text: &str) -> (BTreeMap<String, Read>, Identifiers) {
    let names = "system: erp\nnames:\n  asset: { press-01: EQ-1, press-02: EQ-2 }\n  site: { home: '1010' }\n";
    let files = [
        ("andon.yaml", "format: 1\nname: p\ninstances: { plant: { role: both, zone: z } }\n"),
        (
            "assets/home.yaml",
            "site: home\nzone: z\ntimezone: UTC\nassets: { press-01: { class: press }, press-02: { class: press } }\n",
        ),
        ("classes/press.yaml", "signals: { heat: { kind: f64, unit: Cel } }\n"),
        ("policies/ownership.yaml", "teams: { people: { mail: a@b.example } }\nrules: [{ owner: people }]\n"),
        ("identifiers/erp.yaml", names),
        ("systems/erp.yaml", text),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let loaded = from_files(files).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let contract = loaded.contract;
    let reads = &contract.systems["erp"].reads;
    (reads.iter().map(|(name, read)| (name.to_string(), read.clone())).collect(), contract.identifiers.clone())
}

const ORDERS: &str = r#"
protocol: rest
base: http://127.0.0.1:1/erp
zone: z
reads:
  orders:
    object: ProductionOrder/1
    every: 30 s
    zone: Europe/Berlin
    request:
      path: "/plants/${ id(\"erp\"; .site) }/orders"
      query: { since: "${ .cursor // \"0\" }", top: 2, skip: "${ .skip }" }
    items: ${ .value }
    cursor: ${ .last.changed }
    paging: { next: "${ .next }" }
    number: ${ .AUFNR }
    gone: ${ .deleted }
    from: ${ .start }
    to: ${ .end }
    assets: ${ [.EQUI[] | name("erp"; "asset"; .)] }
    mapping:
      state: '${ {"REL": "Released", "RUN": "Running"}[.STAT] }'
      material: ${ .MATNR }
      quantity: { value: "${ .GAMNG | tostring }", unit: kg }
      batch: ${ .CHARG }
"#;

fn ask() -> Ask {
    Ask::first(Json::Null, None, Some("home".parse().unwrap()), Time::parse("2026-11-22T08:00:00Z").unwrap())
}

fn answer(status: u16, body: &Json) -> Answer {
    let body = body.to_string().into_bytes();
    Answer { status, body, ..Answer::default() }
}

fn page(body: &Json) -> Result<Page, Box<Outcome>> {
    let (all, identifiers) = reads(ORDERS);
    read(&all["orders"], &ask(), identifiers.at(Time(0)), &answer(200, body), &Secrets::default())
}

#[test]
fn an_item_tells_of_an_object() {
    let item = json!({"AUFNR": 1_000_123, "STAT": "RUN", "MATNR": "foil", "GAMNG": 5, "EQUI": ["EQ-1", "EQ-2"],
                      "start": "2026-11-22 09:00:00", "end": null, "changed": "t7"});
    let page = page(&json!({"value": [item], "next": null})).unwrap();
    assert_eq!((page.cursor, page.more, page.items.len()), (Some(json!("t7")), More::Last, 1));
    let told = page.items[0].told.clone().unwrap();
    let data = json!({"number": "1000123", "site": "home", "assets": ["press-01", "press-02"], "state": "Running",
                      "material": "foil", "quantity": {"value": "5", "unit": "kg"}});
    assert_eq!(
        told,
        Told {
            object: "ProductionOrder/1".into(),
            site: "home".into(),
            number: "1000123".into(),
            // Nine in the morning in Berlin.
            from: Since::Time(Time::parse("2026-11-22T08:00:00Z").unwrap()),
            to: None,
            assets: vec!["press-01".into(), "press-02".into()],
            line: None,
            data,
            gone: false,
        }
    );
    assert_eq!(serde_json::from_slice::<Json>(&page.items[0].bytes).unwrap(), item);
}

#[test]
fn an_item_that_tells_nothing_says_why_and_the_others_go_on() {
    let good = json!({"AUFNR": "1", "STAT": "REL", "EQUI": []});
    let with = |key: &str, value: Json| {
        let mut item = good.clone();
        item[key] = value;
        item
    };
    let table = [
        (with("EQUI", json!(["EQ-9"])), "unknown-name", "assets (erp, asset)"),
        (with("EQUI", json!("EQ-1")), "expression", "assets"),
        (with("AUFNR", Json::Null), "no-text", "number"),
        (with("AUFNR", json!([])), "no-text", "number"),
        (with("start", json!("soon")), "no-time", "from"),
        (with("end", json!({})), "no-time", "to"),
        (json!("text"), "expression", "number"),
        (json!(null), "no-text", "number"),
    ];
    let mut items: Vec<Json> = table.iter().map(|(item, ..)| item.clone()).collect();
    items.push(good.clone());
    let page = page(&json!({ "value": items })).unwrap();
    for (item, (given, code, place)) in page.items.iter().zip(&table) {
        let unfit = item.told.clone().unwrap_err();
        assert_eq!((unfit.code, unfit.place.as_str()), (*code, *place), "{given}: {unfit:?}");
        assert!(!unfit.remedy.is_empty() && !unfit.cause.is_empty());
    }
    assert!(page.items.last().unwrap().told.is_ok());
    let missing = page.items[0].told.clone().unwrap_err();
    assert!(missing.found.contains("EQ-9") && missing.remedy.contains("identifiers/erp.yaml"), "{missing:?}");
}

#[test]
fn what_is_gone_needs_no_more_than_its_number_and_what_has_no_begin_is_not_valid_yet() {
    let gone = json!({"AUFNR": "1", "deleted": true});
    let waiting = json!({"AUFNR": "2", "STAT": "REL", "EQUI": ["EQ-1"]});
    let page = page(&json!({ "value": [gone, waiting] })).unwrap();
    let told: Vec<Told> = page.items.into_iter().map(|item| item.told.unwrap()).collect();
    assert_eq!((told[0].gone, &told[0].data), (true, &Json::Null));
    assert_eq!((told[1].gone, told[1].from), (false, Since::NotYet));
}

#[test]
fn a_request_is_made_of_cursor_site_and_page() {
    let (all, identifiers) = reads(ORDERS);
    let url = |ask: &Ask| {
        let prepared = prepare("http://127.0.0.1:1/erp", &all["orders"], ask, identifiers.at(Time(0)));
        prepared.map(|prepared| prepared.url).map_err(|outcome| outcome.detail)
    };
    let first = ask();
    assert_eq!(url(&first).unwrap(), "http://127.0.0.1:1/erp/plants/1010/orders?since=0&top=2&skip=0");
    let second = Ask { cursor: json!("a b"), ..first.next(2, More::Number) };
    assert_eq!(url(&second).unwrap(), "http://127.0.0.1:1/erp/plants/1010/orders?since=a%20b&top=2&skip=2");
    let link = |link: &str| url(&Ask { link: Some(link.into()), ..first.clone() });
    assert_eq!(link("?page=2").unwrap(), "http://127.0.0.1:1/erp/plants/1010/orders?page=2");
    assert_eq!(link("http://127.0.0.1:1/more").unwrap(), "http://127.0.0.1:1/more");
    for wrong in ["http://evil.example/x", "https://127.0.0.1:1/x", "http://u:p@127.0.0.1:1/x", "http://["] {
        assert!(link(wrong).is_err(), "{wrong}");
    }
    // A page that names itself as the next one would be read for ever.
    assert!(link("http://127.0.0.1:1/erp/plants/1010/orders?since=0&top=2&skip=0").unwrap_err().contains("leads back"));
}

#[test]
fn an_answer_without_success_has_a_class() {
    use OutcomeClass::{Auth, Limit, NotFound, Transient, Validation};
    let (all, identifiers) = reads(ORDERS);
    let class = |answer: Answer| {
        let page = read(&all["orders"], &ask(), identifiers.at(Time(0)), &answer, &Secrets::default());
        page.map(|_| ()).map_err(|outcome| outcome.class)
    };
    let text = |status, body: &str| Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() };
    for (answer, expected) in [
        (text(500, ""), Transient),
        (text(503, ""), Transient),
        (text(401, "{}"), Auth),
        (text(404, "{}"), NotFound),
        (text(400, "{}"), Validation),
        (text(200, "<html>"), Transient),
        (text(200, ""), Transient),
        (text(200, "{}"), Transient),
        (text(200, "[]"), Transient),
        (text(200, r#"{"value": {}}"#), Transient),
        (text(200, r#"{"value": [], "next": 7}"#), Transient),
        (Answer { broken: Some("it broke off".into()), ..text(200, r#"{"value": []}"#) }, Transient),
        (Answer { headers: [("retry-after".to_owned(), "7".to_owned())].into(), ..text(429, "") }, Limit),
    ] {
        assert_eq!(class(answer.clone()), Err(expected), "{answer:?}");
    }
    assert_eq!(class(text(200, r#"{"value": []}"#)), Ok(()));
}

#[test]
fn pages_follow_each_other_by_links_or_by_numbers() {
    let (all, identifiers) = reads(&ORDERS.replace("next: \"${ .next }\"", "size: 2"));
    let more = |items: usize| {
        let body = json!({ "value": vec![json!({"AUFNR": "1"}); items] });
        let page = read(&all["orders"], &ask(), identifiers.at(Time(0)), &answer(200, &body), &Secrets::default());
        page.unwrap().more
    };
    assert_eq!([more(0), more(1), more(2), more(3)], [More::Last, More::Last, More::Number, More::Number]);
    assert_eq!(page(&json!({"value": [], "next": ""})).unwrap().more, More::Last);
    assert_eq!(page(&json!({"value": [], "next": "/x"})).unwrap().more, More::Link("/x".into()));
}

#[test]
fn a_cursor_that_is_null_or_has_no_item_moves_nothing() {
    assert_eq!(page(&json!({"value": []})).unwrap().cursor, None);
    assert_eq!(page(&json!({"value": [{"AUFNR": "1"}]})).unwrap().cursor, None);
    let long = "x".repeat(CURSOR_MAX_BYTES);
    assert!(page(&json!({"value": [{"AUFNR": "1", "changed": long}]})).unwrap_err().detail.contains("cursor"));
}
