use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use crate::{Directory, Forward, Identity, Meta, Plan, Record, Request, RequestBody, Services};

/// One request and its answer, from the routing to the end. Plugins see and change it.
#[derive(Debug)]
pub struct Exchange {
    /// The client's request.
    pub request: Request,
    /// Its body, read on demand.
    pub body: RequestBody,
    /// What the attempt stage is to do, once a plugin that stands for the upstream has said so.
    pub plan: Option<Box<Plan>>,
    /// The ordinary upstream, for a request that has no plan.
    pub forward: Forward,
    /// Who is asking, once an auth plugin has found out.
    pub identity: Option<Arc<Identity>>,
    /// Who may ask; there for routes with an auth plugin.
    pub directory: Option<Arc<Directory>>,
    /// Headers for the answer, whoever gives it.
    pub answer: AnswerHeaders,
    /// What will be known of it.
    pub record: Record,
    /// By whom a plugin asks a service; none where nothing is to be sent, as where a request is only explained.
    pub services: Option<Rc<dyn Services>>,
    /// Most requests need none of it.
    memory: Option<Box<Memory>>,
}

/// What plugins and their filters remember from phase to phase.
#[derive(Debug, Default)]
struct Memory {
    notes: Vec<(usize, Box<dyn Any>)>,
    variables: Vec<(&'static str, Box<str>)>,
    filters: Vec<(usize, bool)>,
}

/// Headers that plugins wish for on the answer, before it is known which answer it will be.
#[derive(Debug, Default)]
pub struct AnswerHeaders {
    changes: Vec<(HeaderName, HeaderValue, bool)>,
}

impl AnswerHeaders {
    /// Replaces every header of that name.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.changes.push((name, value, true));
    }

    /// Adds another header of that name.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.changes.push((name, value, false));
    }

    /// Makes the changes, in the order in which they were asked for.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value, replaces) in &self.changes {
            if *replaces {
                headers.insert(name, value.clone());
            } else {
                headers.append(name, value.clone());
            }
        }
    }
}

const USERNAME: HeaderName = HeaderName::from_static("x-consumer-username");
const CREDENTIAL: HeaderName = HeaderName::from_static("x-credential-identifier");
const CUSTOM_ID: HeaderName = HeaderName::from_static("x-consumer-custom-id");

impl Exchange {
    /// A request that was just read.
    pub fn new(request: Request, body: RequestBody, record: Record) -> Self {
        Self {
            request,
            body,
            plan: None,
            forward: Forward::default(),
            identity: None,
            directory: None,
            answer: AnswerHeaders::default(),
            record,
            services: None,
            memory: None,
        }
    }

    /// Since the request's head was read.
    pub fn elapsed(&self) -> Duration {
        self.record.started.elapsed()
    }

    /// The request is this consumer's from now on. The upstream is told in headers; what the client sent in their place
    /// never survives.
    pub fn attach(&mut self, identity: Arc<Identity>) {
        let headers = &mut self.request.headers;
        let custom_id = identity.custom_id.as_deref().filter(|_| !identity.is_anonymous);
        let told = [
            (USERNAME, Some(&*identity.name)),
            (CREDENTIAL, identity.credential_id.as_deref()),
            (CUSTOM_ID, custom_id),
        ];
        for (name, value) in told {
            match value.and_then(|value| HeaderValue::from_str(value).ok()) {
                Some(value) => {
                    headers.insert(name, value);
                }
                None => {
                    headers.remove(name);
                }
            }
        }
        self.record.consumer = Some(identity.name.clone());
        self.identity = Some(identity);
    }

    /// Keeps something of a plugin's until the end of the request. `owner` is the plugin itself: every configuration
    /// keeps its own.
    pub fn keep<O, T: 'static>(&mut self, owner: &O, value: T) {
        self.memory.get_or_insert_default().notes.push((address(owner), Box::new(value)));
    }

    /// What was kept last by that plugin, if it is a `T`.
    pub fn kept<O, T: 'static>(&mut self, owner: &O) -> Option<&mut T> {
        let owner = address(owner);
        let of_owner = self.memory.as_mut()?.notes.iter_mut().rev().filter(|(own, _)| *own == owner);
        of_owner.filter_map(|(_, note)| note.downcast_mut()).next()
    }

    /// Sets a variable that a plugin is known for, such as `rate_limiting_info`.
    pub fn set_variable(&mut self, name: &'static str, value: impl Into<Box<str>>) {
        let variables = &mut self.memory.get_or_insert_default().variables;
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value.into()));
    }

    /// A variable that a plugin has set.
    pub fn plugin_variable(&self, name: &str) -> Option<&str> {
        let variables = &self.memory.as_ref()?.variables;
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// Whether a plugin with this `_meta` takes part in this request: its filter is evaluated once, and the answer holds
    /// for all phases.
    pub fn admits(&mut self, meta: &Arc<Meta>) -> bool {
        let Some(filter) = &meta.filter else { return true };
        let key = Arc::as_ptr(meta).addr();
        let known = self.memory.iter().flat_map(|memory| &memory.filters).find(|(known, _)| *known == key);
        if let Some((_, result)) = known {
            return *result;
        }
        let result = filter.holds(self);
        self.memory.get_or_insert_default().filters.push((key, result));
        result
    }
}

/// Tells values apart that live as long as the request does.
fn address<O>(owner: &O) -> usize {
    std::ptr::from_ref(owner).addr()
}
