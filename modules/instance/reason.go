package instance

// Reason says, in one word for programs, why an instance or a deployment waits,
// failed or ended. Each has a sentence for people; where more is known the
// message beside it says so.
type Reason string

// Why something waits.
const (
	ReasonWaitingServer      Reason = "waiting_server"
	ReasonWaitingAddress     Reason = "waiting_address"
	ReasonWaitingNetwork     Reason = "waiting_network"
	ReasonWaitingReachable   Reason = "waiting_reachable"
	ReasonWaitingInstall     Reason = "waiting_install"
	ReasonWaitingAgent       Reason = "waiting_agent"
	ReasonWaitingTunnel      Reason = "waiting_tunnel"
	ReasonWaitingEngine      Reason = "waiting_engine"
	ReasonWaitingModel       Reason = "waiting_model"
	ReasonWaitingToken       Reason = "waiting_token"
	ReasonWaitingRequests    Reason = "waiting_requests"
	ReasonCreateInDoubt      Reason = "create_in_doubt"
	ReasonOutOfStock         Reason = "out_of_stock"
	ReasonQuota              Reason = "quota_exceeded"
	ReasonProviderDenied     Reason = "provider_denied"
	ReasonProviderThrottled  Reason = "provider_throttled"
	ReasonProviderAway       Reason = "provider_unavailable"
	ReasonProviderUnknown    Reason = "provider_unknown"
	ReasonInternal           Reason = "internal"
	ReasonDeleting           Reason = "deleting"
	ReasonDeletionSlow       Reason = "deletion_slow"
	ReasonNodeSilent         Reason = "node_silent"
	ReasonManySilent         Reason = "many_nodes_silent"
	ReasonNodeUnheard        Reason = "node_unheard"
	ReasonEngineDown         Reason = "engine_down"
	ReasonBootstrapReused    Reason = "bootstrap_reused"
	ReasonReplicasStarting   Reason = "replicas_starting"
	ReasonReplicasFailing    Reason = "replicas_failing"
	ReasonDeploymentStopped  Reason = "deployment_stopped"
	ReasonDeploymentStopping Reason = "deployment_stopping"
	ReasonAsleep             Reason = "asleep"
	ReasonAwake              Reason = "awake"
)

// Why something failed or ended.
const (
	ReasonProvisioningTimeout Reason = "provisioning_timeout"
	ReasonBootTimeout         Reason = "boot_timeout"
	ReasonInstallTimeout      Reason = "install_timeout"
	ReasonStartupTimeout      Reason = "startup_timeout"
	ReasonDrainTimeout        Reason = "drain_timeout"
	ReasonProviderRefused     Reason = "provider_refused"
	ReasonEngineFailed        Reason = "engine_failed"
	ReasonProviderDeleted     Reason = "provider_deleted"
	ReasonServerStopped       Reason = "server_stopped"
	ReasonNodeLost            Reason = "node_lost"
	ReasonDrained             Reason = "drained"
	ReasonDeleted             Reason = "deleted"
	ReasonUserTerminated      Reason = "user_terminated"
	ReasonUserReplaced        Reason = "user_replaced"
	ReasonUserReinstalled     Reason = "user_reinstalled"
	ReasonUserRetried         Reason = "user_retried"
	ReasonUserArchived        Reason = "user_archived"
	ReasonScaledDown          Reason = "scaled_down"
	ReasonIdle                Reason = "idle"
	ReasonDeploymentDeleted   Reason = "deployment_deleted"
	ReasonRetention           Reason = "retention"
)

var sentences = map[Reason]string{
	ReasonWaitingServer:      "The provider is starting the server.",
	ReasonWaitingAddress:     "The server has no address yet.",
	ReasonWaitingNetwork:     "The server's network rules are being applied.",
	ReasonWaitingReachable:   "The server does not answer yet.",
	ReasonWaitingInstall:     "The agent is being installed.",
	ReasonWaitingAgent:       "The agent is installed and has not joined yet.",
	ReasonWaitingTunnel:      "The agent has joined; its tunnel is not up yet.",
	ReasonWaitingEngine:      "The engine does not answer yet.",
	ReasonWaitingModel:       "The engine runs and has not loaded the model yet.",
	ReasonWaitingToken:       "The engine has loaded the model and has not generated a token yet.",
	ReasonWaitingRequests:    "Running requests are being finished.",
	ReasonCreateInDoubt:      "The provider was asked for a server and no answer was seen; it is being looked for before another one is requested.",
	ReasonOutOfStock:         "The provider has none of the wanted servers in stock; they are asked for again.",
	ReasonQuota:              "The provider's quota does not allow another server; raise it with the provider or delete something.",
	ReasonProviderDenied:     "The provider refuses our credentials; check the access key and its rights.",
	ReasonProviderThrottled:  "The provider asks us to slow down; the request is repeated.",
	ReasonProviderAway:       "The provider does not answer properly; the request is repeated.",
	ReasonProviderUnknown:    "This process does not know the provider; add it to INVENTIV_PROVIDERS.",
	ReasonInternal:           "A step failed on our side and is repeated; the log has the details.",
	ReasonDeleting:           "What is billed is being deleted.",
	ReasonDeletionSlow:       "The deletion takes longer than it should and is still billed; it is repeated until the provider confirms it.",
	ReasonNodeSilent:         "The node has stopped reporting; its server is being looked at.",
	ReasonManySilent:         "Many nodes fell silent at once, so the fault is more likely on our side; none of them is replaced.",
	ReasonNodeUnheard:        "The node's reports do not arrive, but its tunnel is up: it goes on serving.",
	ReasonEngineDown:         "The engine on the node is not ready; the agent starts it again.",
	ReasonBootstrapReused:    "The instance's join token was presented a second time with another key. The instance gets no requests until somebody has looked at it.",
	ReasonReplicasStarting:   "Replicas are on their way.",
	ReasonReplicasFailing:    "The last replicas all failed; the next attempt waits longer each time.",
	ReasonDeploymentStopped:  "The deployment is stopped.",
	ReasonDeploymentStopping: "The deployment's replicas are ending.",
	ReasonAsleep:             "The deployment sleeps; the next request for its model wakes it, and so does starting it.",
	ReasonAwake:              "The deployment may have no replica; it is awake until nobody has used it for its idle time.",

	ReasonProvisioningTimeout: "No server could be had in time.",
	ReasonBootTimeout:         "The server did not become reachable in time.",
	ReasonInstallTimeout:      "The agent was not installed, or did not join, in time.",
	ReasonStartupTimeout:      "The engine did not generate a token in time.",
	ReasonDrainTimeout:        "Requests still ran at the end of the time given to finish them.",
	ReasonProviderRefused:     "The provider refuses the request as it is; asking again would not help.",
	ReasonEngineFailed:        "The engine ended again and again.",
	ReasonProviderDeleted:     "The server was deleted on the provider's side, not by Inventiv.",
	ReasonServerStopped:       "The server was switched off on the provider's side, not by Inventiv.",
	ReasonNodeLost:            "The node has not reported for too long.",
	ReasonDrained:             "All running requests are finished.",
	ReasonDeleted:             "The provider has confirmed that everything is gone.",
	ReasonUserTerminated:      "Its owner terminated it.",
	ReasonUserReplaced:        "Its owner asked for a replacement.",
	ReasonUserReinstalled:     "Its owner asked for a new installation.",
	ReasonUserRetried:         "Its owner asked for another attempt.",
	ReasonUserArchived:        "Its owner archived it.",
	ReasonScaledDown:          "The deployment needs fewer replicas.",
	ReasonIdle:                "Nobody has used the deployment for its idle time.",
	ReasonDeploymentDeleted:   "Its deployment was deleted.",
	ReasonRetention:           "It failed or was terminated long ago, and is not shown any more.",
}

// Sentence says for people what the reason means.
func (r Reason) Sentence() string { return sentences[r] }
