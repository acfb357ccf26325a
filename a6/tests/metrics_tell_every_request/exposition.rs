//! Reading of Prometheus's text format 0.0.4, and the families that APISIX exported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{self, Connection, Echo, Gateway, Setup, ai_route, chat, chat_stream, post, request};

/// Where metrics are served.
pub(crate) const PATH: &str = "/apisix/prometheus/metrics";

/// What a scrape brought. Reading it insists on the format.
pub(crate) struct Scrape {
    pub(crate) text: String,
    /// Name, labels as they stand, value.
    samples: Vec<(String, String, f64)>,
    /// By family: its type and its help.
    families: BTreeMap<String, (String, String)>,
}

/// Asks the exporter.
pub(crate) fn scrape(gateway: &Gateway) -> Scrape {
    let answer = Connection::open(gateway.exporter).answer(&request("GET", PATH, &[], b""));
    assert_eq!(answer.status, 200, "{}", answer.text());
    Scrape::parse(answer.text())
}

impl Scrape {
    pub(crate) fn parse(text: String) -> Self {
        let mut families = BTreeMap::new();
        let mut samples = Vec::new();
        let mut family = String::new();
        let mut help = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, told) = rest.split_once(' ').expect(line);
                (family, help) = (name.to_string(), told.to_string());
                assert!(!families.contains_key(&family), "{family} comes twice:\n{text}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, family, "{text}");
                families.insert(family.clone(), (kind.to_string(), help.clone()));
            } else {
                let (series, value) = line.rsplit_once(' ').expect(line);
                let (name, labels) = match series.split_once('{') {
                    Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
                    None => (series, ""),
                };
                assert!(name.starts_with(&family), "{line} stands under {family}");
                samples.push((name.to_string(), labels.to_string(), value.parse().expect(line)));
            }
        }
        let series: BTreeSet<_> = samples.iter().map(|(name, labels, _)| (name, labels)).collect();
        assert_eq!(series.len(), samples.len(), "a series comes twice:\n{text}");
        Self { text, samples, families }
    }

    fn fitting(&self, name: &str, labels: &[&str]) -> Vec<u64> {
        let fits = |(own, told, _): &&(String, String, f64)| {
            own == name && labels.iter().all(|label| told.contains(label))
        };
        self.samples.iter().filter(fits).map(|(_, _, value)| *value as u64).collect()
    }

    /// The sum of all series of that name with these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        self.fitting(name, labels).into_iter().sum()
    }

    /// The value of the only series of that name with these labels.
    pub(crate) fn only(&self, name: &str, labels: &[&str]) -> u64 {
        let found = self.fitting(name, labels);
        assert_eq!(found.len(), 1, "{name} {labels:?} in\n{}", self.text);
        found[0]
    }

    /// The names of the labels of a family, in order, `le` left out.
    fn label_names(&self, family: &str) -> BTreeSet<Vec<String>> {
        let own = self.samples.iter().filter(|(name, _, _)| {
            name.strip_prefix(family).is_some_and(|rest| ["", "_bucket", "_count", "_sum"].contains(&rest))
        });
        own.map(|(_, labels, _)| {
            let names = labels.split("\",").filter_map(|label| Some(label.split_once("=\"")?.0.to_string()));
            names.filter(|name| name != "le").collect()
        })
        .collect()
    }
}

/// Families of APISIX that are not here, and why.
const ABSENT: [(&str, &str); 4] = [
    ("apisix_ai_cache_bypasses_total", "there is no ai-cache yet"),
    ("apisix_ai_cache_hits_total", "there is no ai-cache yet"),
    ("apisix_ai_cache_misses_total", "there is no ai-cache yet"),
    ("apisix_upstream_status", "no health checks run yet"),
];

#[test]
fn families_are_those_of_apisix() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/metrics.json");
    let Ok(golden) = std::fs::read_to_string(&golden) else {
        println!("skipped: ../shared/golden/metrics.json not found");
        return;
    };
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let (mock, echo) = (support::mock(), Echo::start("echo"));
    let gateway = Setup::new().start();
    let mut model = ai_route("/chat", &mock.url(), json!({}));
    model["plugins"]["prometheus"] = json!({});
    gateway.put("routes/model", &model);
    let upstream = json!({"nodes": {echo.address.to_string(): 1}});
    let plain = json!({"uri": "/plain", "plugins": {"prometheus": {}}, "upstream": upstream});
    gateway.put("routes/plain", &plain);
    post(gateway.data, "/chat", &[], &chat("hello"));
    post(gateway.data, "/chat", &[], &chat_stream("hello"));
    post(gateway.data, "/plain", &[], &json!({}));

    let ours = scrape(&gateway);
    let families = golden["families"].as_object().unwrap();
    for (family, told) in families {
        if let Some((_, why)) = ABSENT.iter().find(|(absent, _)| absent == family) {
            assert!(!ours.families.contains_key(family), "{family} is here, but: {why}");
            continue;
        }
        let Some((kind, help)) = ours.families.get(family) else {
            panic!("{family} is missing in\n{}", ours.text)
        };
        assert_eq!(
            (kind.as_str(), help.as_str()),
            (told["type"].as_str().unwrap(), told["help"].as_str().unwrap())
        );
        let expected: BTreeSet<Vec<String>> = serde_json::from_value(told["label_sets"].clone()).unwrap();
        assert_eq!(ours.label_names(family), expected, "{family}");
    }
    // What is here and not in APISIX has a name of its own.
    let own = ours.families.keys().filter(|family| !families.contains_key(*family));
    assert!(own.clone().all(|family| family.starts_with("apisix_a6_")), "{:?}", own.collect::<Vec<_>>());
}
