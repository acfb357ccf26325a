use a6_snapshot::{DebugTokens, Explain, Question};
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;

/// What the gateway would do with the request that the body describes.
pub(crate) fn explain(explain: &dyn Explain, body: Option<&Value>) -> Result<Answer, Answer> {
    let question = body.ok_or_else(|| Answer::refused("the question is missing; describe a request"))?;
    let question = Question::read(question).map_err(Answer::refused)?;
    Ok(Answer::json(StatusCode::OK, &explain.explain(question)))
}

/// A token with which one request may ask the data plane how its answer was made.
pub(crate) fn issue_token(tokens: &DebugTokens) -> Result<Answer, Answer> {
    let token = tokens.issue().ok_or_else(|| {
        Answer::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the system has no random bytes for a token; try again",
        )
    })?;
    let body = json!({
        "token": token.expose(),
        "header": DebugTokens::HEADER,
        "expires_in": DebugTokens::LIFE_SECONDS,
    });
    Ok(Answer::json(StatusCode::CREATED, &body).with("cache-control", "no-store"))
}
