use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use a6_snapshot::Target;
use tokio::task::JoinSet;

use crate::dns::{Dns, Found, Trouble};

/// How often it is looked which names have to be asked for again.
const TICK: Duration = Duration::from_secs(1);
/// A name server that gives no answer is asked again after this time; until then the last answer stays.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// Names to addresses: an override table first (`a6.resolve`), then the system's hosts file, then its name servers, whose
/// answers are kept as long as they say. All data threads share it.
///
/// A thread of its own speaks to the name servers and asks again for every name that is in use. So a request waits for a
/// name only the first time, and connections to an address that a name has left are noticed.
#[derive(Debug, Default)]
pub struct Resolver {
    overrides: HashMap<String, (IpAddr, Option<u16>)>,
    names: Arc<Names>,
    asking: OnceLock<Result<Asking, String>>,
}

/// The thread that speaks to name servers. It starts with the first name.
#[derive(Debug)]
struct Asking {
    runtime: tokio::runtime::Handle,
    dns: Arc<Dns>,
}

type Names = Mutex<HashMap<Box<str>, Arc<Name>>>;

/// A name that is in use.
#[derive(Debug)]
struct Name {
    known: Mutex<Known>,
    /// Grows with every change of the addresses.
    generation: AtomicU64,
    /// Somebody has asked since it was last looked up.
    is_used: AtomicBool,
}

#[derive(Debug)]
struct Known {
    /// In order, so that they can be compared: IPv4 first.
    addresses: Vec<IpAddr>,
    until: Instant,
}

/// The name that a connection was reached by, and the address that it stood for.
#[derive(Debug)]
pub(crate) struct Origin {
    name: Arc<Name>,
    address: IpAddr,
    /// When it was last found to be right.
    generation: AtomicU64,
}

/// Where a target is.
#[derive(Debug)]
pub(crate) struct Places {
    /// To be tried in this order.
    pub(crate) addresses: Vec<SocketAddr>,
    name: Option<Arc<Name>>,
}

impl Resolver {
    /// With overrides: lower-case host, address, and a port if that changes too.
    pub fn new(overrides: impl IntoIterator<Item = (String, IpAddr, Option<u16>)>) -> Self {
        let table = overrides.into_iter().map(|(host, ip, port)| (host.to_ascii_lowercase(), (ip, port)));
        Self { overrides: table.collect(), ..Self::default() }
    }

    /// Where a target is. Of several addresses of one family chance says which is tried first.
    pub(crate) async fn places(&self, target: &Target) -> Result<Places, String> {
        if let Some((ip, port)) = self.overrides.get(&*target.host) {
            let address = SocketAddr::new(*ip, port.unwrap_or(target.port));
            return Ok(Places { addresses: vec![address], name: None });
        }
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            return Ok(Places { addresses: vec![SocketAddr::new(ip, target.port)], name: None });
        }
        let name = match self.known(&target.host) {
            Some(name) => name,
            None => self.ask(&target.host).await?,
        };
        name.is_used.store(true, Ordering::Relaxed);
        let mut addresses = name.known().addresses.clone();
        shuffle(&mut addresses);
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, target.port)).collect();
        Ok(Places { addresses, name: Some(name) })
    }

    /// A name that is kept up to date, if it has addresses.
    fn known(&self, host: &str) -> Option<Arc<Name>> {
        let name = lock(&self.names).get(host)?.clone();
        let has_addresses = !name.known().addresses.is_empty();
        has_addresses.then_some(name)
    }

    async fn ask(&self, host: &str) -> Result<Arc<Name>, String> {
        let asking = self.asking.get_or_init(|| Asking::start(&self.names)).as_ref().map_err(Clone::clone)?;
        let (dns, owned) = (asking.dns.clone(), host.to_string());
        let asked = asking.runtime.spawn(async move { dns.look_up(&owned).await });
        let found = asked.await.map_err(|error| error.to_string())?.map_err(Trouble::into_text)?;
        let mut names = lock(&self.names);
        let name = names.entry(host.into()).or_insert_with(|| Arc::new(Name::new())).clone();
        name.learn(found);
        Ok(name)
    }
}

impl Places {
    /// What a connection to one of the addresses has to remember; nothing where no name stood for it.
    pub(crate) fn origin(self, address: IpAddr) -> Option<Origin> {
        let name = self.name?;
        let generation = AtomicU64::new(name.generation.load(Ordering::Relaxed));
        Some(Origin { name, address, generation })
    }
}

impl Origin {
    /// Whether the name still stands for the address.
    pub(crate) fn is_current(&self) -> bool {
        let name = &self.name;
        if !name.is_used.load(Ordering::Relaxed) {
            name.is_used.store(true, Ordering::Relaxed);
        }
        let generation = name.generation.load(Ordering::Relaxed);
        if self.generation.load(Ordering::Relaxed) == generation {
            return true;
        }
        let stands = name.known().addresses.contains(&self.address);
        if stands {
            self.generation.store(generation, Ordering::Relaxed);
        }
        stands
    }
}

impl Name {
    fn new() -> Self {
        let known = Known { addresses: Vec::new(), until: Instant::now() };
        Self { known: Mutex::new(known), generation: AtomicU64::new(0), is_used: AtomicBool::new(true) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    fn learn(&self, found: Found) {
        let Found { mut addresses, until } = found;
        addresses.sort_unstable();
        addresses.dedup();
        let mut known = self.known();
        known.until = until;
        if known.addresses != addresses {
            known.addresses = addresses;
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fail(&self, trouble: &Trouble) {
        let until = Instant::now() + AFTER_TROUBLE;
        match trouble {
            Trouble::NoSuchName(_) => self.learn(Found { addresses: Vec::new(), until }),
            Trouble::NoAnswer(_) => self.known().until = until,
        }
    }
}

impl Asking {
    fn start(names: &Arc<Names>) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the resolver could not start: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let dns = {
            let _inside = runtime.enter();
            Arc::new(Dns::of_the_system()?)
        };
        let names = Arc::downgrade(names);
        let for_thread = dns.clone();
        std::thread::Builder::new()
            .name("a6-dns".into())
            .spawn(move || runtime.block_on(keep_current(names, for_thread)))
            .map_err(failed)?;
        Ok(Self { runtime: handle, dns })
    }
}

/// Asks again for what is in use, as soon as the last answer has had its time. Ends with the resolver.
async fn keep_current(names: Weak<Names>, dns: Arc<Dns>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(names) = names.upgrade() else { return };
        let mut asking = JoinSet::new();
        for (host, name) in due(&names, Instant::now()) {
            let dns = dns.clone();
            asking.spawn(async move {
                match dns.look_up(&host).await {
                    Ok(found) => name.learn(found),
                    Err(trouble) => {
                        tracing::warn!(host = &*host, %trouble, "a name could not be resolved again");
                        name.fail(&trouble);
                    }
                }
            });
        }
        while asking.join_next().await.is_some() {}
    }
}

/// The names to be asked for again. Those that neither a request nor a connection needs are forgotten.
fn due(names: &Names, now: Instant) -> Vec<(Box<str>, Arc<Name>)> {
    let mut due = Vec::new();
    lock(names).retain(|host, name| {
        if name.known().until > now {
            return true;
        }
        let is_needed = name.is_used.swap(false, Ordering::Relaxed) || Arc::strong_count(name) > 1;
        if is_needed {
            due.push((host.clone(), name.clone()));
        }
        is_needed
    });
    due
}

/// IPv4 stays in front of IPv6; within each, chance says where the round begins.
fn shuffle(addresses: &mut [IpAddr]) {
    let (v4, v6) = addresses.split_at_mut(addresses.partition_point(IpAddr::is_ipv4));
    for family in [v4, v6] {
        if family.len() > 1 {
            family.rotate_left(fastrand::usize(..family.len()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Found {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Found { addresses, until: Instant::now() }
    }

    fn origin(name: &Arc<Name>, address: &str) -> Origin {
        let places = Places { addresses: Vec::new(), name: Some(name.clone()) };
        places.origin(address.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_connection_is_current_until_its_name_moves_away() {
        let name = Arc::new(Name::new());
        name.learn(found(&["10.0.0.2", "10.0.0.1"]));
        let (first, second) = (origin(&name, "10.0.0.1"), origin(&name, "10.0.0.2"));
        assert!(first.is_current() && second.is_current());
        name.learn(found(&["10.0.0.1", "10.0.0.2", "10.0.0.1"]));
        assert_eq!(name.generation.load(Ordering::Relaxed), 1, "the same addresses are no change");
        name.fail(&Trouble::NoAnswer("timeout".into()));
        assert!(first.is_current() && second.is_current(), "the last answer stays");
        name.learn(found(&["10.0.0.2", "10.0.0.3"]));
        for time in ["once", "twice"] {
            assert!(!first.is_current() && second.is_current(), "{time}");
        }
        name.fail(&Trouble::NoSuchName("gone".into()));
        assert!(!second.is_current());
    }

    #[test]
    fn only_names_that_are_needed_are_asked_for_again() {
        let names = Names::default();
        let held = Arc::new(Name::new());
        for (host, name) in [("used", Arc::new(Name::new())), ("held", held.clone())] {
            lock(&names).insert(host.into(), name);
        }
        let now = Instant::now() + Duration::from_millis(1);
        let hosts = |names: &Names| {
            let mut hosts: Vec<_> = due(names, now).into_iter().map(|(host, _)| host.to_string()).collect();
            hosts.sort();
            hosts
        };
        assert_eq!(hosts(&names), ["held", "used"]);
        assert_eq!(hosts(&names), ["held"], "nobody has used the other since");
        assert_eq!(lock(&names).len(), 1);
        held.known().until = now + Duration::from_secs(60);
        assert!(hosts(&names).is_empty(), "it is known for a minute");
    }

    #[test]
    fn families_keep_their_order() {
        for _ in 0..20 {
            let mut addresses: Vec<IpAddr> =
                ["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"].map(|text| text.parse().unwrap()).into();
            shuffle(&mut addresses);
            assert!(addresses[..3].iter().all(IpAddr::is_ipv4) && addresses[3].is_ipv6());
        }
    }

    #[tokio::test]
    async fn overrides_and_addresses_need_no_name_server() {
        let resolver = Resolver::new([("API.test".to_string(), "10.9.9.9".parse().unwrap(), Some(99))]);
        let cases = [("api.test", "10.9.9.9:99"), ("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80")];
        for (host, expected) in cases {
            let scheme = a6_protocols::Scheme::Http;
            let target = Target { scheme, host: host.into(), port: 80, verify: false };
            let places = resolver.places(&target).await.unwrap();
            assert_eq!(places.addresses, [expected.parse::<SocketAddr>().unwrap()]);
            assert!(places.name.is_none());
        }
        assert!(resolver.asking.get().is_none());
    }
}
