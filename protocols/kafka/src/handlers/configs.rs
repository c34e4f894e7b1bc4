//! The settings of topics, and how settings are told and changed.
//!
//! The one idea to know: a setting that would change nothing here is refused when somebody sets it, unless it is set to
//! what holds anyhow; so nobody relies on what is not done. What holds is listed with each topic. The broker's own are `broker_settings`.

use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::handlers::broker_settings;
use crate::names;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use sluice_broker::TopicSpec;
use sluice_model::units::{ByteSize, Span};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Topic = 1,
    /// The broker's, changed while it ran.
    ChangedBroker = 3,
    Broker = 4,
    Default = 5,
}

/// What kind of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    List = 7,
}

/// What an incremental change does to a value.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

pub(crate) const RETENTION: &str = "retention.ms";
/// As in Kafka, of each partition.
const RETENTION_BYTES: &str = "retention.bytes";
const UNLIMITED: &str = "-1";
const CLEANUP: &str = "cleanup.policy";
/// Of what has none.
const SETTINGS: &str = "settings are those of topics and of the broker";

/// A setting as it is.
pub(crate) struct Setting {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
    pub kind: Kind,
    pub read_only: bool,
}

/// A topic's settings.
pub(crate) fn of_topic(client: &Client, spec: &TopicSpec) -> Vec<Setting> {
    let rules = client.broker().config();
    let own = spec.retention();
    let retention = own.unwrap_or_else(|| client.broker().tuned().retention);
    let fixed = |name, value: &str, kind| Setting {
        name,
        value: value.to_owned(),
        source: Source::Default,
        kind,
        read_only: true,
    };
    vec![
        Setting {
            name: RETENTION,
            value: retention.as_millis().to_string(),
            source: if own.is_some() { Source::Topic } else { Source::Broker },
            kind: Kind::Long,
            read_only: false,
        },
        fixed(CLEANUP, "delete", Kind::List),
        fixed("compression.type", "uncompressed", Kind::String),
        fixed("max.message.bytes", &rules.max_message_size.0.to_string(), Kind::Int),
        fixed("message.timestamp.type", "CreateTime", Kind::String),
        fixed("min.insync.replicas", "1", Kind::Int),
        Setting {
            name: RETENTION_BYTES,
            value: spec.retention_size().map_or_else(|| UNLIMITED.to_owned(), |size| size.0.to_string()),
            source: if spec.retention_size().is_some() { Source::Topic } else { Source::Default },
            kind: Kind::Long,
            read_only: false,
        },
    ]
}

/// A topic's settings with one of them changed; `None` goes back to what holds without it.
pub(crate) fn change(
    client: &Client,
    spec: TopicSpec,
    name: &str,
    value: Option<&str>,
) -> Result<TopicSpec, (Code, String)> {
    let invalid = |why: String| Err((Code::InvalidConfig, why));
    if name == RETENTION {
        let Some(value) = value else { return Ok(spec.retaining(None)) };
        let usual = client.broker().tuned().retention.as_millis();
        let most = client.broker().config().longest_retention().as_millis();
        return match value.parse::<u64>() {
            Ok(millis) if millis == usual => Ok(spec.retaining(None)),
            Ok(millis) if (1..=most).contains(&millis) => {
                Ok(spec.retaining(Some(Span(Duration::from_millis(millis)))))
            }
            _ => invalid(format!("{RETENTION} must be 1 to {most} (broker.max_retention)")),
        };
    }
    if name == RETENTION_BYTES {
        return match value.map(|value| (value, value.parse::<u64>())) {
            None | Some((UNLIMITED, _)) => Ok(spec.keeping(None)),
            Some((_, Ok(bytes))) if bytes > 0 => Ok(spec.keeping(Some(ByteSize(bytes)))),
            Some(_) => {
                invalid(format!("{RETENTION_BYTES} must be {UNLIMITED} or a number of bytes from 1 on"))
            }
        };
    }
    let known = of_topic(client, &spec).into_iter().find(|setting| setting.name == name);
    match (known, value) {
        (Some(_), None) => Ok(spec),
        (Some(setting), Some(value)) if setting.value == value => Ok(spec),
        // Whatever producers send is stored so that every wire reads it, and given back as it was.
        (Some(setting), Some("producer")) if setting.name == "compression.type" => Ok(spec),
        (Some(setting), Some(value)) if setting.name == CLEANUP && value.contains("compact") => {
            invalid("compaction is not offered; cleanup.policy is \"delete\"".to_owned())
        }
        (Some(setting), Some(_)) => invalid(format!("{name} is {} for every topic", setting.value)),
        (None, _) => invalid(format!("{name} has no meaning here")),
    }
}

pub(crate) async fn describe(
    client: Arc<Client>,
    head: Head,
    request: DescribeConfigsRequest,
) -> Result<DescribeConfigsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let mut results = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let found = match resource.resource_type {
            TOPIC => match names::topic(&resource.resource_name) {
                None => Err((Code::InvalidTopic, "not the name of a topic".to_owned())),
                Some(name) => match client.broker().topic(&session, &name) {
                    Ok(topic) => Ok(of_topic(&client, &topic.spec)),
                    Err(error) => Err((Code::of_topic(&error), error.message().to_owned())),
                },
            },
            BROKER => match client.broker().permit_cluster(&session, sluice_auth::Action::Get) {
                Ok(()) => broker_settings::check_name(&client, &resource.resource_name)
                    .map(|()| broker_settings::all(&client)),
                Err(error) => Err((Code::of_cluster(&error), error.message().to_owned())),
            },
            _ => Err((Code::InvalidRequest, SETTINGS.to_owned())),
        };
        results.push(tell(&head, &resource, request.include_synonyms, found));
    }
    Ok(DescribeConfigsResponse::default().with_results(results))
}

fn tell(
    head: &Head,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    found: Result<Vec<Setting>, (Code, String)>,
) -> DescribeConfigsResult {
    let told = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
        .with_error_message(None);
    let settings = match found {
        Err((code, why)) => return told.with_error_code(code.number()).with_error_message(Some(why.into())),
        Ok(settings) => settings,
    };
    let wanted = |setting: &Setting| match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| &**key == setting.name),
        _ => true,
    };
    let each = settings.into_iter().filter(wanted).map(|setting| {
        let value = Some(setting.value.into());
        let synonym = DescribeConfigsSynonym::default()
            .with_name(setting.name.into())
            .with_value(Clone::clone(&value))
            .with_source(setting.source as i8);
        let mut one = DescribeConfigsResourceResult::default()
            .with_name(setting.name.into())
            .with_value(value)
            .with_read_only(setting.read_only)
            .with_config_source(setting.source as i8)
            .with_synonyms(if synonyms { vec![synonym] } else { Vec::new() })
            .with_documentation(None);
        if head.version >= 3 {
            one.config_type = setting.kind as i8;
        }
        one
    });
    told.with_configs(each.collect())
}

/// One change of one resource: name, value, and whether it goes back to the default.
pub(crate) type Changes = Vec<(String, Option<String>)>;

async fn alter(
    client: &Client,
    kind: i8,
    name: &str,
    changes: Result<Changes, (Code, String)>,
    from_defaults: bool,
    validate_only: bool,
) -> (Code, Option<String>) {
    let done = async {
        let session =
            client.session().map_err(|error| (Code::of_topic(&error), error.message().to_owned()))?;
        if kind == BROKER {
            return broker_settings::alter(client, &session, name, changes?, from_defaults, validate_only)
                .await;
        }
        if kind != TOPIC {
            return Err((Code::InvalidRequest, SETTINGS.to_owned()));
        }
        let topic = names::topic(name).ok_or((Code::InvalidTopic, "not the name of a topic".to_owned()))?;
        let told = |error: sluice_model::Error| (Code::of_topic(&error), error.message().to_owned());
        let view = client.broker().topic(&session, &topic).map_err(told)?;
        let mut spec = if from_defaults { view.spec.retaining(None).keeping(None) } else { view.spec };
        for (name, value) in changes? {
            spec = change(client, spec, &name, value.as_deref())?;
        }
        if !validate_only {
            client.broker().put_topic(&session, &topic, spec).await.map_err(told)?;
        }
        Ok(())
    };
    match done.await {
        Ok(()) => (Code::None, None),
        Err((code, why)) => (code, Some(why)),
    }
}

/// The old form: what is not named goes back to what holds without it.
pub(crate) async fn alter_all(
    client: Arc<Client>,
    _: Head,
    request: AlterConfigsRequest,
) -> Result<AlterConfigsResponse, Fatal> {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let each = resource.configs.iter();
        let changes = each.map(|c| (c.name.to_string(), c.value.as_ref().map(ToString::to_string))).collect();
        let (kind, name) = (resource.resource_type, resource.resource_name.clone());
        let (code, why) = alter(&client, kind, &name, Ok(changes), true, request.validate_only).await;
        responses.push(
            AlterConfigsResourceResponse::default()
                .with_error_code(code.number())
                .with_error_message(why.map(Into::into))
                .with_resource_type(kind)
                .with_resource_name(name),
        );
    }
    Ok(AlterConfigsResponse::default().with_responses(responses))
}

/// The new form: only what is named changes.
pub(crate) async fn alter_some(
    client: Arc<Client>,
    _: Head,
    request: IncrementalAlterConfigsRequest,
) -> Result<IncrementalAlterConfigsResponse, Fatal> {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let each = resource.configs.iter().map(|c| match c.config_operation {
            // What is added to a list of one is the other value that it would have.
            SET | APPEND if c.config_operation == SET || &*c.name == CLEANUP => {
                Ok((c.name.to_string(), Some(c.value.as_ref().map(ToString::to_string).unwrap_or_default())))
            }
            DELETE => Ok((c.name.to_string(), None)),
            _ => Err((Code::InvalidConfig, format!("{} is no list that could be added to", &*c.name))),
        });
        let changes = each.collect::<Result<Changes, _>>();
        let (kind, name) = (resource.resource_type, resource.resource_name.clone());
        let (code, why) = alter(&client, kind, &name, changes, false, request.validate_only).await;
        responses.push(
            IncrementalResponse::default()
                .with_error_code(code.number())
                .with_error_message(why.map(Into::into))
                .with_resource_type(kind)
                .with_resource_name(name),
        );
    }
    Ok(IncrementalAlterConfigsResponse::default().with_responses(responses))
}
