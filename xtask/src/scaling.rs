use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::client::{self, Connection};
use crate::gateway::{ADMIN_KEY, Gateway};
use crate::lanes::Setup;
use crate::tool::Tool;

/// Writes that are counted.
const WRITES: u32 = 100;

/// What may cost more where there are more routes, and how much more.
struct Scale {
    name: &'static str,
    /// Numbers of routes that are compared.
    few: u32,
    many: u32,
    /// The largest ratio.
    most: f64,
    /// What is counted with so many routes.
    cost: fn(&Path, u32) -> Result<f64>,
}

/// A write costs by what it changes, whatever else there is: what it checks, stores, compiles and publishes is in the count.
/// A start costs by what it loads.
const SCALES: [Scale; 2] = [
    Scale { name: "write", few: 10, many: 10_000, most: 1.5, cost: write },
    Scale { name: "start", few: 1_000, many: 10_000, most: 12.0, cost: start },
];

/// Counts instructions at few and at many routes, prints a table, and names what grows by more than it may.
pub(crate) fn check(a6: &Path) -> Result<Vec<String>> {
    println!("\n{:<8} {:>14} {:>14} {:>8} {:>8}", "scale", "few routes", "many routes", "ratio", "limit");
    let mut risen = Vec::new();
    for Scale { name, few, many, most, cost } in SCALES {
        let count = |routes| cost(a6, routes).with_context(|| format!("counting {name} at {routes} routes"));
        let (at_few, at_many) = (count(few)?, count(many)?);
        ensure!(at_few > 0.0, "{name} costs {at_few} instructions at {few} routes, which cannot be");
        let ratio = at_many / at_few;
        println!("{name:<8} {at_few:>14.0} {at_many:>14.0} {ratio:>8.2} {most:>8.1}");
        if ratio > most {
            risen.push(format!("{name} at {many} routes"));
        }
    }
    Ok(risen)
}

/// Instructions of a start and an orderly end.
fn start(a6: &Path, routes: u32) -> Result<f64> {
    Ok(total(a6, routes, 0)? as f64)
}

/// Instructions of a write that changes one route of so many.
fn write(a6: &Path, routes: u32) -> Result<f64> {
    let (without, with) = (total(a6, routes, 0)?, total(a6, routes, WRITES)?);
    let writes = with.checked_sub(without).with_context(|| {
        format!("a life without writes costs {without} and one with {WRITES} {with}, which cannot be")
    })?;
    Ok(writes as f64 / f64::from(WRITES))
}

/// What a whole life of the gateway costs with so many routes, in which one of them is written so often.
fn total(a6: &Path, routes: u32, writes: u32) -> Result<u64> {
    let gateway = Gateway::start(a6, Tool::Callgrind, Setup::Among(routes))?;
    let mut connection = Connection::open(gateway.admin).context("connecting to the Admin API")?;
    for number in 0..writes {
        // A change, so that what is the same as before cannot pass for a gain.
        let document = serde_json::json!({
            "uri": "/v1/service-3/resource-3/*",
            "desc": format!("write {number}"),
            "plugins": {"request-id": {"header_name": format!("X-Request-{number}")}},
            "upstream": {"nodes": {"127.0.0.1:9": 1}},
        });
        let headers = [("x-api-key", ADMIN_KEY), ("content-type", "application/json")];
        let request = client::request("PUT", "/apisix/admin/routes/other-3", &headers, &document.to_string());
        let answer = connection.exchange(&request)?;
        ensure!(
            answer.status == 200,
            "the Admin API answered {} to a write: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    }
    drop(connection);
    gateway.stop()
}
