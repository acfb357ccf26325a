//! The explain endpoint's answer for a person: which routes were tried and why each did not fit, what runs in which order
//! and who brought it, and where the request would go.

use serde_json::Value;

use super::tree::Node;

/// The answer as a tree.
pub(super) fn tree(answer: &Value) -> Node {
    let request = &answer["request"];
    let mut below = vec![routes(answer)];
    if let Some(missing) = answer["missing"].as_str() {
        below.push(Node::leaf(format!("✗ the route is incomplete: {missing}")));
    }
    if answer["consumer"].is_object() {
        below.push(Node::leaf(consumer(&answer["consumer"])));
    }
    for (member, title) in [("global_plugins", "plugins of global rules"), ("plugins", "plugins")] {
        let plugins: Vec<Node> =
            items(&answer[member]).map(|plugin| Node::leaf(self::plugin(plugin))).collect();
        match plugins.len() {
            0 if member == "plugins" => below.push(Node::leaf("no plugins")),
            0 => {}
            _ => below.push(Node::with(format!("{title}, in their order"), plugins)),
        }
    }
    below.push(target(&answer["target"]));
    let line = format!("{} {}{}", text(&request["method"]), text(&request["host"]), text(&request["path"]));
    Node::with(line, below)
}

fn routes(answer: &Value) -> Node {
    let mut tried = Vec::new();
    for candidate in items(&answer["candidates"]) {
        let is_match = candidate["matched"] == true;
        let (id, name) = (text(&candidate["route_id"]), text(&candidate["name"]));
        let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
        let patterns: Vec<String> = items(&candidate["uris"]).map(text).collect();
        let verdict = match candidate["failed"].as_str() {
            Some(failed) => format!(": {failed} does not fit"),
            None => String::new(),
        };
        let mark = if is_match { '✓' } else { '✗' };
        tried.push(Node::leaf(format!("{mark} {id}{name} {}{verdict}", patterns.join(" "))));
        // What comes behind it is not tried.
        if is_match {
            break;
        }
    }
    match (answer["route"].as_str(), tried.is_empty()) {
        (Some(id), _) => Node::with(format!("route {id}"), tried),
        (None, true) => Node::leaf("✗ no route: none has this host and path"),
        (None, false) => {
            Node::with("✗ no route: all that have this host and path want something else", tried)
        }
    }
}

fn consumer(consumer: &Value) -> String {
    let name = text(&consumer["name"]);
    match consumer["known_by"].as_str() {
        _ if consumer["exists"] == false => format!("✗ consumer {name} does not exist"),
        _ if consumer["group_is_missing"] == true => format!("✗ consumer {name}: its group does not exist"),
        Some(plugin) => format!("consumer {name}, known by {plugin}"),
        None => format!("consumer {name} brings nothing: no plugin asks who is calling"),
    }
}

fn plugin(plugin: &Value) -> String {
    let phases: Vec<String> = items(&plugin["phases"]).map(text).collect();
    let mut line = format!(
        "{:>5} {} from {}",
        plugin["priority"].as_i64().unwrap_or_default(),
        text(&plugin["name"]),
        text(&plugin["source"])
    );
    if !phases.is_empty() {
        line.push_str(&format!(", {}", phases.join(", ")));
    }
    if plugin["disabled"] == true {
        line.push_str(": switched off by _meta.disable");
    }
    if plugin["filter"] == false {
        line.push_str(": left out, its _meta.filter does not hold");
    }
    if let Some(reference) = plugin["unresolved_secret"].as_str() {
        line.push_str(&format!(": refuses every request, {reference} cannot be resolved"));
    }
    line
}

fn target(target: &Value) -> Node {
    match target["kind"].as_str() {
        Some("ai") => Node::with("goes to a provider", items(&target["instances"]).map(members).collect()),
        Some("upstream") => {
            let nodes = items(&target["nodes"]).map(|node| {
                let health = if node["healthy"] == false { ", unhealthy" } else { "" };
                let (weight, priority) = (text(&node["weight"]), text(&node["priority"]));
                Node::leaf(format!(
                    "{}, weight {weight}, priority {priority}{health}",
                    text(&node["address"])
                ))
            });
            Node::with(format!("goes to upstream {}", text(&target["upstream"])), nodes.collect())
        }
        _ => match target["why"].as_str() {
            Some(why) => Node::leaf(format!("✗ goes nowhere: {why}")),
            None => Node::leaf("goes nowhere, unless a plugin answers"),
        },
    }
}

/// Something that a plugin tells of itself: the members of an object, those that hold others below.
fn members(value: &Value) -> Node {
    let Value::Object(object) = value else { return Node::leaf(text(value)) };
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    let plain = object.iter().filter(|(_, value)| is_plain(value) && !value.is_null());
    let line: Vec<String> = plain.map(|(name, value)| format!("{name} {}", text(value))).collect();
    let others = object.iter().filter(|(_, value)| !is_plain(value));
    let below = others.map(|(name, value)| match value {
        Value::Array(items) => Node::with(name.as_str(), items.iter().map(members).collect()),
        other => Node::with(name.as_str(), vec![members(other)]),
    });
    Node::with(line.join(", "), below.collect())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text bare, anything else as JSON; null is nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_reads_as_a_tree() {
        let answer = json!({
            "request": {"method": "POST", "host": "a.test", "path": "/x"},
            "candidates": [
                {"route_id": "post", "name": null, "uris": ["/x"], "matched": false, "failed": "methods"},
                {"route_id": "all", "name": "everything", "uris": ["/*", "/"], "matched": true, "failed": null},
                {"route_id": "never", "name": null, "uris": ["/*"], "matched": true, "failed": null},
            ],
            "route": "all", "missing": null,
            "consumer": {"name": "jack", "exists": true, "known_by": "key-auth", "group_is_missing": false},
            "plugins": [
                {"name": "key-auth", "priority": 2500, "source": "/routes/all", "disabled": false, "filter": null, "phases": ["rewrite"]},
                {"name": "cors", "priority": 4000, "source": "/services/s", "disabled": true, "filter": null, "phases": []},
                {"name": "proxy-rewrite", "priority": 1008, "source": "/routes/all", "disabled": false, "filter": false, "phases": ["rewrite", "access"]},
                {"name": "ai-proxy", "priority": 1040, "source": "/routes/all", "disabled": false, "filter": null, "phases": [], "unresolved_secret": "$env://KEY"},
            ],
            "global_plugins": [],
            "target": {"kind": "ai", "instances": [{"instance": "one", "address": "h:443", "weight": 2, "more": [{"a": 1}]}]},
        });
        let expected = "\
POST a.test/x
├── route all
│   ├── ✗ post /x: methods does not fit
│   └── ✓ all (everything) /* /
├── consumer jack, known by key-auth
├── plugins, in their order
│   ├──  2500 key-auth from /routes/all, rewrite
│   ├──  4000 cors from /services/s: switched off by _meta.disable
│   ├──  1008 proxy-rewrite from /routes/all, rewrite, access: left out, its _meta.filter does not hold
│   └──  1040 ai-proxy from /routes/all: refuses every request, $env://KEY cannot be resolved
└── goes to a provider
    └── instance one, address h:443, weight 2
        └── more
            └── a 1
";
        assert_eq!(tree(&answer).render(), expected);
    }

    #[test]
    fn what_leads_nowhere_says_so() {
        let nothing = json!({"request": {}, "candidates": [], "route": null, "target": {"kind": "none"}});
        let mut wrong = nothing.clone();
        wrong["candidates"] = json!([{"route_id": "r", "uris": ["/x"], "matched": false, "failed": "vars"}]);
        wrong["global_plugins"] = json!([{"name": "cors", "priority": 4000, "source": "/global_rules/1"}]);
        wrong["target"] = json!({"kind": "none", "why": "the upstream that the route names does not exist"});
        let nodes = json!([{"address": "a:1", "weight": 1, "priority": 0, "healthy": false}]);
        let mut lost = nothing.clone();
        lost["route"] = json!("r");
        lost["missing"] = json!("its service does not exist");
        lost["target"] = json!({"kind": "upstream", "upstream": "/upstreams/u", "nodes": nodes});
        let mut cases = vec![
            (nothing.clone(), vec!["✗ no route: none has", "no plugins", "goes nowhere, unless"]),
            (
                wrong,
                vec![
                    "✗ no route: all that",
                    "✗ r /x: vars does not fit",
                    "of global rules",
                    "✗ goes nowhere: the",
                ],
            ),
            (
                lost,
                vec![
                    "✗ the route is incomplete: its service",
                    "upstream /upstreams/u",
                    "a:1, weight 1, priority 0, unhealthy",
                ],
            ),
        ];
        for (exists, known_by, group_is_missing, expected) in [
            (false, None, false, "✗ consumer jack does not exist"),
            (true, Some("key-auth"), true, "✗ consumer jack: its group does not exist"),
            (true, None, false, "consumer jack brings nothing"),
        ] {
            let mut asked = nothing.clone();
            asked["consumer"] = json!({"name": "jack", "exists": exists, "known_by": known_by, "group_is_missing": group_is_missing});
            cases.push((asked, vec![expected]));
        }
        for (answer, expected) in cases {
            let text = tree(&answer).render();
            for part in expected {
                assert!(text.contains(part), "no {part:?} in\n{text}");
            }
        }
    }
}
