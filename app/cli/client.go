package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// maxAnswer is more than any answer of the API; what is longer comes from
// something else.
const maxAnswer = 64 << 20

// client asks the JSON API.
type client struct {
	base    string // address of the server
	key     string
	version string
	http    *http.Client
}

func newClient(cfg config.Client, version string) *client {
	return &client{
		base: strings.TrimRight(cfg.URL, "/"), key: cfg.APIKey.Reveal(), version: version,
		http: &http.Client{
			Timeout: cfg.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // the key goes nowhere else
			},
		},
	}
}

// path joins segments, each encoded.
func path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// do sends a request and decodes the answer into out, unless one of them is
// nil. Every error is a *Failure.
func (c *client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	if c.key == "" {
		return &Failure{
			Exit: ExitAuth, Text: "There is no API key to ask with.", Code: "missing_api_key",
			Fix: "Set INVENTIV_API_KEY or INVENTIV_API_KEY_FILE to a key of scope admin. The demo writes one to demo.env in its data folder: . DATA_DIR/demo.env",
		}
	}
	if strings.ContainsFunc(c.key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return &Failure{
			Exit: ExitAuth, Text: "The API key has a line break, a space or another character that no key has.", Code: "malformed_api_key",
			Fix: "Copy the whole key again, in one line and without what stands around it.",
		}
	}
	address := c.base + "/api/v1" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return mistake("The server's address "+c.base+" cannot be used.", "Set INVENTIV_URL to an address such as https://inventiv.example.")
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "inventiv/"+c.version)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	return c.read(resp, raw, out)
}

// read decodes an answer, or the problem it tells of.
func (c *client) read(resp *http.Response, raw []byte, out any) error {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return nil
	case resp.StatusCode < 300 && media == "application/json":
		if out == nil {
			return nil
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if dec.Decode(out) == nil {
			return nil
		}
	case media == "application/problem+json":
		if f := readProblem(resp.StatusCode, raw); f != nil {
			return f
		}
	}
	return &Failure{
		Exit: ExitUnavailable, Text: fmt.Sprintf("What answers at %s is not an Inventiv server, or something stands before it.", c.base),
		Why: fmt.Sprintf("It answered %d with %q.", resp.StatusCode, media), Fix: "Check INVENTIV_URL.", Code: "bad_answer",
	}
}

func readProblem(status int, raw []byte) *Failure {
	var p struct { // RFC 9457, with members of ours
		Detail    string `json:"detail"`
		Code      string `json:"code"`
		Fix       string `json:"fix"`
		RequestID string `json:"request_id"`
		Errors    []struct {
			Pointer string `json:"pointer"`
			Detail  string `json:"detail"`
			Fix     string `json:"fix"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(raw, &p); err != nil || p.Detail == "" {
		return nil //nolint:nilerr // the caller says what it has got instead
	}
	f := &Failure{Exit: exitOf(status, p.Code), Text: p.Detail, Fix: p.Fix, Code: p.Code, Request: p.RequestID}
	var why []string
	for _, e := range p.Errors {
		if e.Detail != p.Detail {
			why = append(why, strings.TrimSpace(e.Pointer+": "+e.Detail+" "+e.Fix))
		}
	}
	f.Why = strings.Join(why, "\n")
	return f
}

// exitOf returns the exit code for an answer of the API.
func exitOf(status int, code string) Exit {
	switch code {
	case "exhausted", "out_of_stock", "quota", "quota_exceeded", "budget_exceeded", "insufficient_quota":
		return ExitExhausted
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return ExitAuth
	case http.StatusNotFound, http.StatusGone:
		return ExitNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return ExitConflict
	case http.StatusTooManyRequests:
		return ExitExhausted
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return ExitTimeout
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return ExitUnavailable
	}
	if status >= 400 && status < 500 {
		return ExitUsage
	}
	return ExitFailed
}

// unreachable says why there was no answer.
func (c *client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &Failure{Exit: ExitFailed, Text: "Interrupted.", Fix: "What the server has begun goes on there.", Code: "interrupted"}
	}
	if bad, ok := errors.AsType[*url.Error](err); ok {
		if bad.Timeout() {
			return &Failure{
				Exit: ExitTimeout, Text: "The server at " + c.base + " did not answer in time.", Code: "timeout",
				Fix: "Wait longer with --timeout, or see how the server is.",
			}
		}
		err = bad.Err // without the address, which is said already
	}
	f := &Failure{
		Exit: ExitUnavailable, Text: "The server at " + c.base + " cannot be reached.", Why: err.Error() + ".", Code: "unreachable",
		Fix: "Check that it runs, and INVENTIV_URL; inventiv doctor looks at both.",
	}
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, tlsError := errors.AsType[*tls.CertificateVerificationError](err)
	if authority || host || tlsError {
		f.Code, f.Text = "tls", "The certificate of the server at "+c.base+" is not trusted."
		f.Fix = "Set SSL_CERT_FILE to the certificate of its authority, or correct the host name in INVENTIV_URL."
	}
	return f
}
