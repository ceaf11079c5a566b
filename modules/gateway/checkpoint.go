package gateway

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// A stream is looked at after so many tokens, and after so long if one comes.
const (
	checkpointTokens = 256
	checkpointTime   = 2 * time.Second
)

// checkpoint writes down now and then what a stream has used, which is what is
// recorded of it if this process is killed; nothing depends on that it works.
// It fails when the stream must not go on, because its key was revoked.
func (x *exchange) checkpoint(out *streamWriter, stream *openai.Stream) *openai.Error {
	last := x.noted
	if last.IsZero() {
		last = x.started
	}
	if stream.Deltas == 0 || stream.Deltas-x.notedAt < checkpointTokens && out.at.Sub(last) < checkpointTime {
		return nil
	}
	x.noted, x.notedAt = out.at, stream.Deltas
	x.count(stream.Usage, stream.Known, stream.Deltas)
	x.record.HTTPStatus, x.record.Duration = http.StatusOK, out.at.Sub(x.started)
	_ = x.service.spool.Append(&x.record)
	return x.revoked("the answer was being generated")
}

// revoked refuses to go on if the key is good no longer.
func (x *exchange) revoked(meanwhile string) *openai.Error {
	if x.caller.KeyID == uuid.Nil {
		return nil
	}
	if token, refused := credentials(x.r.Header); refused == nil && x.service.keys.Revoked(token) {
		return &openai.Error{
			Status: http.StatusUnauthorized, Type: openai.Authentication, Code: "key_revoked",
			Message: "This API key was revoked while " + meanwhile + ".",
		}
	}
	return nil
}
