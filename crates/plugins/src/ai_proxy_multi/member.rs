use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use a6_core::Secret;
use a6_snapshot::{Checked, CheckedNode, Checks, Group, Instance, Member, NodeState, Site};
use serde_json::{Value, json};

use super::NAME;
use super::conf::MemberConf;
use crate::support::instance::{self, TransportConf};

/// Compiles the instance at a place. One that has the same name, address and credentials as before keeps all that is
/// known of it, and its checks go on if they are the same.
pub(super) fn compile(
    document: &Value,
    conf: &MemberConf,
    place: usize,
    transport: &TransportConf,
    previous: Option<&Group>,
    site: &Site<'_>,
) -> Result<Member, String> {
    let in_instance = |why: String| format!("instance '{}': {why}", conf.name);
    let compiled =
        instance::compile(conf.name.clone(), conf.instance.clone(), transport).map_err(in_instance)?;
    let identity = identity(document, place);
    let known = previous.and_then(|previous| {
        let mut members = previous.members.iter();
        members.find(|member| member.identity == identity && *member.instance.name == *conf.name)
    });
    let state = known.map(|known| known.state.clone()).unwrap_or_default();
    let key = format!("{}#plugins['{NAME}'].instances[{place}]", site.owner);
    let checked = checked(&key, conf, &compiled, &state).map_err(in_instance)?;
    let goes_on = |known: &&Arc<Checked>| checked.as_ref().is_some_and(|checked| is_same(known, checked));
    let checked = match known.and_then(|known| known.checked.as_ref()).filter(goes_on) {
        Some(known) => Some(known.clone()),
        None => {
            let checked = checked.map(Arc::new);
            match &checked {
                Some(checked) => site.health.add(checked),
                // What earlier checks have found counts only as long as there are some.
                None => state.health.reset(),
            }
            checked
        }
    };
    Ok(Member {
        weight: u32::try_from(conf.weight).unwrap_or(u32::MAX),
        priority: conf.priority,
        model: conf.instance.model().map(Box::from),
        breakers: known.map(|known| known.breakers.clone()).unwrap_or_default(),
        instance: Arc::new(compiled),
        state,
        checked,
        identity,
    })
}

/// Stands for what an instance is, besides its name: provider, place and credentials. It is kept in memory alone.
fn identity(document: &Value, place: usize) -> u64 {
    let instance = document.get("instances").and_then(|instances| instances.get(place));
    let part = |pointer: &str| instance.and_then(|instance| instance.pointer(pointer)).map(Value::to_string);
    let mut hasher = DefaultHasher::new();
    ["/provider", "/auth", "/provider_conf", "/override/endpoint"].map(part).hash(&mut hasher);
    hasher.finish()
}

fn checked(
    key: &str,
    conf: &MemberConf,
    instance: &Instance,
    state: &Arc<NodeState>,
) -> Result<Option<Checked>, String> {
    let Some(checks) = &conf.checks else { return Ok(None) };
    // What else may stand there has no meaning, in APISIX as well.
    let checks = Checks::parse(&json!({"active": checks.get("active")}))?;
    let target = instance.target.clone();
    let is_own_port = target.port == target.scheme.default_port();
    let host = match (target.host.contains(':'), is_own_port) {
        (true, true) => format!("[{}]", target.host),
        (false, true) => target.host.to_string(),
        (_, false) => target.to_string(),
    };
    let node = CheckedNode { target, host: host.into(), state: state.clone() };
    let auth = Secret::new(conf.instance.probe_auth()?);
    Ok(Some(Checked { key: key.into(), checks, certificate: None, auth, nodes: Box::new([node]) }))
}

/// Whether the same is asked of the same, and the findings go to the same place.
fn is_same(known: &Checked, checked: &Checked) -> bool {
    let same_nodes = known.nodes.len() == checked.nodes.len()
        && known.nodes.iter().zip(&checked.nodes).all(|(known, checked)| {
            known.target == checked.target
                && known.host == checked.host
                && Arc::ptr_eq(&known.state, &checked.state)
        });
    same_nodes && known.key == checked.key && known.checks == checked.checks && known.auth == checked.auth
}

/// Whether a balancer would see no difference between them.
pub(super) fn are_same(before: &[Member], now: &[Member]) -> bool {
    let seen = |member: &Member| (member.instance.name.clone(), member.weight, member.priority);
    before.iter().map(seen).eq(now.iter().map(seen))
}
