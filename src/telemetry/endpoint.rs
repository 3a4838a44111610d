//! Where traces are sent.

use std::{fmt, str::FromStr};

use hyper::Uri;

/// The variable that names a collector where no flag does. Source: the OpenTelemetry
/// specification.
const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The address of a collector that takes OTLP over gRPC, without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

/// An address that no collector can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address of a collector that takes OTLP over gRPC: give http://HOST:PORT, such as \
     http://127.0.0.1:4317"
)]
pub(crate) struct BadEndpoint(String);

impl Endpoint {
    /// What `given` says, else what the environment says; none where neither does.
    ///
    /// # Errors
    /// [`BadEndpoint`] if what the environment says is none.
    pub(crate) fn chosen(given: Option<Self>) -> Result<Option<Self>, BadEndpoint> {
        Self::of(given, std::env::var(VARIABLE).ok())
    }

    fn of(given: Option<Self>, variable: Option<String>) -> Result<Option<Self>, BadEndpoint> {
        match (given, variable) {
            (Some(given), _) => Ok(Some(given)),
            (None, Some(text)) if !text.is_empty() => text.parse().map(Some),
            (None, _) => Ok(None),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let uri: Option<Uri> = text.parse().ok();
        let is_http = |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some();
        if uri.as_ref().is_some_and(is_http) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadEndpoint(text.to_owned()))
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_an_endpoint() {
        for text in ["http://127.0.0.1:4317", "http://collector", "http://[::1]:4317/"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["", "127.0.0.1:4317", "https://a:4317", "grpc://a", "http://", "http://a b"] {
            assert_eq!(text.parse::<Endpoint>(), Err(BadEndpoint(text.to_owned())));
        }
    }

    #[test]
    fn flag_is_heard_before_the_environment_and_nothing_means_none() {
        let [flag, variable] = ["http://flag:1", "http://variable:1"];
        let of = |given: Option<&str>, variable: Option<&str>| {
            let given = given.map(|text| text.parse().unwrap());
            Endpoint::of(given, variable.map(str::to_owned))
        };
        assert_eq!(of(Some(flag), Some(variable)), Ok(flag.parse().ok()));
        assert_eq!(of(None, Some(variable)), Ok(variable.parse().ok()));
        assert_eq!(of(None, Some("")), Ok(None));
        assert_eq!(of(None, None), Ok(None));
        assert_eq!(of(None, Some("no")), Err(BadEndpoint("no".to_owned())));
    }
}
