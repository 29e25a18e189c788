//! Answers that are not what was asked for: JSON, with words.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Problems;

/// A request that was not done, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
    problems: Option<Problems>,
    /// A header that says more, such as what would be possible where the method was not.
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), problems: None, header: None }
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn no_stream(name: &str) -> Self {
        Self::not_found(format!("there is no stream {name:?}"))
    }

    /// What was sent cannot become a stream.
    pub(super) fn problems(problems: Problems) -> Self {
        let error = match problems.0.len() {
            1 => "this is not a valid stream: one thing is wrong".to_owned(),
            count => format!("this is not a valid stream: {count} things are wrong"),
        };
        Self { problems: Some(problems), ..Self::new(StatusCode::BAD_REQUEST, error) }
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        let error = format!("possible here: {allow}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error).with_header(header::ALLOW, allow)
    }

    pub(super) fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    /// The same with this header.
    pub(super) fn with_header(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problems = self.problems.map_or_else(Vec::new, |problems| problems.0);
        let problems =
            problems.into_iter().map(|problem| ProblemBody { key: problem.key, message: problem.message });
        let body = RefusalBody { error: self.error, problems: problems.collect() };
        let mut response = (self.status, Json(body)).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Why a request was not done.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct RefusalBody {
    /// In words.
    error: String,
    /// All that is wrong with a stream that was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemBody>,
}

/// One mistake in a stream that was sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct ProblemBody {
    /// Where it stands in the body; empty = the body as a whole.
    key: String,
    /// What is wrong, and what would be right.
    message: String,
}
