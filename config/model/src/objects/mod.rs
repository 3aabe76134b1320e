//! The Kubernetes-shaped objects that Towpath reads: the fields that mean something to it, typed.
//!
//! No field is required here: what must be there is a rule, checked with all the others when objects are read and
//! compiled. Names are those of the API, in camel case. A field that Kubernetes or Knative knows and Towpath does
//! not need is listed as [`Unread`], so that it is not taken for a typo.

mod channel;
mod common;
mod delivery;
mod eventing;
mod flows;
mod hop_policy;
mod kubernetes;
mod secret;
mod subscription;

pub use channel::{
    Channel, ChannelImplementation, ChannelSpec, ChannelTemplate, ImplementationSpec,
    SubscriberEntry, TemplateMeta,
};
pub use common::{
    Address, Condition, Destination, KReference, ObjectMeta, OwnerReference, Status, Unread,
};
pub use delivery::DeliverySpec;
pub use eventing::{
    Broker, BrokerSpec, SubscriptionsApiFilter, Trigger, TriggerFilter, TriggerSpec,
};
pub use flows::{Parallel, ParallelBranch, ParallelSpec, Sequence, SequenceSpec, SequenceStep};
pub use hop_policy::{
    HopPolicy, HopPolicySpec, PolicyHealthCheck, PolicyOutlier, PolicyReplica, PolicyTarget,
    PolicyWeights,
};
pub use kubernetes::{
    ConfigMap, Endpoint, EndpointConditions, EndpointPort, EndpointSlice, Service, ServicePort,
    ServiceSpec, TargetRef,
};
pub use secret::{Hidden, Secret};
pub use subscription::{Subscription, SubscriptionSpec};
