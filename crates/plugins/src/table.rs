//! Which plugins there are: a closed set, so that every call is a jump and no allocation.

use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Frame, FrameFlow, KnownBy, Phases, Request, Site, Stop};
use serde_json::Value;

use crate::support::shared::Shared;

/// Writes the enum of plugins and everything that goes through all of them. A row is variant, module and APISIX's
/// priority.
macro_rules! plugins {
    ($($variant:ident = $module:ident, $priority:expr;)*) => {
        /// A compiled plugin.
        #[derive(Debug)]
        pub enum Plugin {
            $(
                #[doc = concat!("`", stringify!($module), ".rs`")]
                $variant(crate::$module::$variant),
            )*
        }

        pub(crate) fn specs() -> Vec<PluginSpec> {
            vec![$(crate::$module::spec($priority),)*]
        }

        impl Plugin {
            /// Compiles the configuration of the plugin of that name.
            pub(crate) fn compile(
                name: &str,
                conf: &Value,
                site: &Site<'_>,
                shared: &Shared,
            ) -> Result<Self, String> {
                match name {
                    $(crate::$module::NAME => {
                        crate::$module::$variant::compile(conf, site, shared).map(Self::$variant)
                    })*
                    _ => Err(format!("unknown plugin [{name}]")),
                }
            }
        }

        impl a6_snapshot::Plugin for Plugin {
            fn phases(&self) -> Phases {
                match self {
                    $(Self::$variant(plugin) => plugin.phases(),)*
                }
            }

            async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
                match self {
                    $(Self::$variant(plugin) => plugin.rewrite(exchange).await,)*
                }
            }

            async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
                match self {
                    $(Self::$variant(plugin) => plugin.access(exchange).await,)*
                }
            }

            async fn before_proxy(&self, exchange: &mut Exchange) -> Result<(), Stop> {
                match self {
                    $(Self::$variant(plugin) => plugin.before_proxy(exchange).await,)*
                }
            }

            fn header_filter(&self, exchange: &mut Exchange, head: &mut http::response::Parts) {
                match self {
                    $(Self::$variant(plugin) => plugin.header_filter(exchange, head),)*
                }
            }

            fn frame(&self, exchange: &mut Exchange, frame: Frame) -> FrameFlow {
                match self {
                    $(Self::$variant(plugin) => plugin.frame(exchange, frame),)*
                }
            }

            fn log(&self, exchange: &mut Exchange) {
                match self {
                    $(Self::$variant(plugin) => plugin.log(exchange),)*
                }
            }

            fn mark_credentials(&self, request: &mut Request) {
                match self {
                    $(Self::$variant(plugin) => plugin.mark_credentials(request),)*
                }
            }

            fn describe(&self) -> Option<Value> {
                match self {
                    $(Self::$variant(plugin) => plugin.describe(),)*
                }
            }
        }
    };
}

plugins! {
    RequestId = request_id, 12015;
    FaultInjection = fault_injection, 11000;
    Mocking = mocking, 10900;
    Cors = cors, 4000;
    IpRestriction = ip_restriction, 3000;
    BasicAuth = basic_auth, 2520;
    JwtAuth = jwt_auth, 2510;
    KeyAuth = key_auth, 2500;
    ConsumerRestriction = consumer_restriction, 2400;
    AiPromptTemplate = ai_prompt_template, 1071;
    AiPromptDecorator = ai_prompt_decorator, 1070;
    AiProxyMulti = ai_proxy_multi, 1041;
    AiProxy = ai_proxy, 1040;
    ProxyRewrite = proxy_rewrite, 1008;
    LimitConn = limit_conn, 1003;
    LimitCount = limit_count, 1002;
    LimitReq = limit_req, 1001;
    TrafficSplit = traffic_split, 966;
    Redirect = redirect, 900;
    ResponseRewrite = response_rewrite, 899;
    PublicApi = public_api, 501;
    Prometheus = prometheus, 500;
}

/// What a schema cannot say of an auth plugin's configuration in a consumer or credential.
pub(crate) fn check_consumer(name: &str, conf: &Value) -> Result<(), String> {
    match name {
        crate::basic_auth::NAME => crate::basic_auth::check_consumer(conf),
        crate::jwt_auth::NAME => crate::jwt_auth::check_consumer(conf),
        crate::key_auth::NAME => crate::key_auth::check_consumer(conf),
        _ => Ok(()),
    }
}

/// What a schema says, where the plugin says it in other words.
pub(crate) fn reword(name: &str, why: String) -> String {
    match name {
        crate::limit_count::NAME => crate::limit_count::reword(why),
        _ => why,
    }
}

/// What an auth plugin knows a caller by; see [`a6_snapshot::Kit::credential`].
pub(crate) fn credential(name: &str, conf: &Value) -> Option<KnownBy> {
    match name {
        crate::basic_auth::NAME => crate::basic_auth::credential(conf),
        crate::jwt_auth::NAME => crate::jwt_auth::credential(conf),
        crate::key_auth::NAME => crate::key_auth::credential(conf),
        _ => None,
    }
}
