//! The instance is chosen by what the prompt means: each has examples, and the one whose example is most like the prompt
//! takes the request.
//!
//! - `semantic/embeddings.rs`: texts to vectors, by a service that is asked.
//! - `semantic/similarity.rs`: how alike vectors are, and whom that speaks for.
//! - `semantic/references.rs`: the vectors of the examples, fetched once.
//! - this file: a choice, start to end.

mod embeddings;
mod references;
mod similarity;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use a6_protocols::{Protocol, last_user_text};
use a6_snapshot::{Exchange, Services};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use self::embeddings::{Embeddings, EmbeddingsConf};
use self::references::References;
use self::similarity::{Candidate, Ranking, Vector};

const SCORES: HeaderName = HeaderName::from_static("x-ai-semantic-scores");
const PICKED: HeaderName = HeaderName::from_static("x-ai-semantic-picked-instance");

/// Of a prompt so many bytes are looked at.
const MAX_PROMPT: usize = 16_384;

/// A compiled choice by meaning.
#[derive(Debug)]
pub(crate) struct Semantic {
    embeddings: Embeddings,
    candidates: Vec<Candidate>,
    /// The examples of all candidates, one after the other.
    examples: Vec<String>,
    references: References,
    /// Who takes a request that nobody is chosen for.
    fallback: usize,
    tells_scores: bool,
    /// The service failed the last time that it was asked, which has been told.
    is_failing: AtomicBool,
}

/// What of a configuration says how to choose.
#[derive(Deserialize)]
struct Conf {
    instances: Vec<InstanceConf>,
    semantic_opts: Options,
}

#[derive(Deserialize)]
struct InstanceConf {
    name: String,
    #[serde(default)]
    examples: Vec<String>,
    threshold: Option<f64>,
}

#[derive(Deserialize)]
struct Options {
    embeddings: EmbeddingsConf,
    #[serde(default)]
    threshold: f64,
    fallback: Option<String>,
    #[serde(default)]
    debugging: bool,
}

impl Semantic {
    /// Compiles the plugin's whole configuration, which schema and checks have accepted.
    ///
    /// # Errors
    /// It cannot be used; the text names the member and nothing of a credential.
    pub(crate) fn compile(document: &Value) -> Result<Self, String> {
        let Conf { instances, semantic_opts: options } =
            Conf::deserialize(document).map_err(|error| error.to_string())?;
        let fallback = match &options.fallback {
            None => 0,
            Some(name) => instances
                .iter()
                .position(|instance| instance.name == *name)
                .ok_or_else(|| format!("`semantic_opts.fallback` names unknown instance '{name}'"))?,
        };
        let mut examples = Vec::new();
        let mut candidates = Vec::with_capacity(instances.len());
        for instance in instances {
            let from = examples.len();
            examples.extend(instance.examples);
            candidates.push(Candidate {
                name: instance.name.into(),
                examples: from..examples.len(),
                threshold: instance.threshold.unwrap_or(options.threshold),
            });
        }
        Ok(Self {
            embeddings: Embeddings::compile(options.embeddings)?,
            candidates,
            examples,
            references: References::default(),
            fallback,
            tells_scores: options.debugging,
            is_failing: AtomicBool::new(false),
        })
    }

    /// The place of the instance that takes this request, whose body has been read as this protocol's. There is always one:
    /// where the service fails or nobody is like enough, it is the fallback. Boxed, since every connection keeps a request's
    /// future, and this one waits for the network.
    pub(crate) async fn pick(&self, exchange: &mut Exchange, protocol: Protocol) -> usize {
        Box::pin(self.choose(exchange, protocol)).await
    }

    async fn choose(&self, exchange: &mut Exchange, protocol: Protocol) -> usize {
        let Some(services) = exchange.services.clone() else { return self.fallback };
        let Some(prompt) = prompt(exchange, protocol).await else { return self.fallback };
        let result = self.rank(&services, prompt).await;
        self.tell_health(&result);
        let Ok(ranking) = result else { return self.fallback };
        let picked = ranking.picked(&self.candidates);
        if self.tells_scores {
            self.tell_scores(exchange, &ranking, picked);
        }
        picked.unwrap_or(self.fallback)
    }

    async fn rank(&self, services: &Rc<dyn Services>, prompt: String) -> Result<Ranking, Failure> {
        let examples = self.references.get(&self.embeddings, services, &self.examples).await?;
        let mut found = self.embeddings.embed(services, &[prompt]).await.map_err(Failure::Told)?;
        let prompt: Vector = found.pop().ok_or(Failure::Told("there is no vector".into()))?;
        let mismatch = || Failure::Told("the vectors of prompt and examples differ in length".into());
        similarity::rank(&self.candidates, examples, &prompt).ok_or_else(mismatch)
    }

    /// Tells once that the service fails, and once that it works again.
    fn tell_health(&self, result: &Result<Ranking, Failure>) {
        match result {
            Ok(_) if self.is_failing.swap(false, Ordering::Relaxed) => {
                tracing::info!(service = %self.embeddings, "embeddings come again: requests go by their meaning");
            }
            Err(Failure::Told(cause)) if !self.is_failing.swap(true, Ordering::Relaxed) => {
                let fallback = &*self.candidates[self.fallback].name;
                tracing::warn!(service = %self.embeddings, cause = &**cause, fallback, "no embeddings: requests go to the fallback");
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Names with characters that no header may have leave the header out.
    fn tell_scores(&self, exchange: &mut Exchange, ranking: &Ranking, picked: Option<usize>) {
        let name = picked.map_or("fallback", |place| &*self.candidates[place].name);
        for (header, value) in [(SCORES, ranking.told(&self.candidates)), (PICKED, name.to_string())] {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                exchange.answer.set(header, value);
            }
        }
    }
}

/// Why nobody could be ranked.
#[derive(Debug)]
enum Failure {
    /// The cause, which says nothing of what was asked.
    Told(Box<str>),
    /// Another request has found out, and tells.
    Elsewhere,
}

/// What the user said last, as far as it is looked at.
async fn prompt(exchange: &mut Exchange, protocol: Protocol) -> Option<String> {
    let (text, document) = exchange.body.document().await.ok()?;
    let mut prompt = last_user_text(protocol, document, &text)?;
    // Not within a character, as APISIX may cut: the service would have to refuse such a text.
    prompt.truncate(prompt.floor_char_boundary(MAX_PROMPT));
    Some(prompt)
}
