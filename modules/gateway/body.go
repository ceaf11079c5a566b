package gateway

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// firstRead is what is set aside for a body whose size is not told; with its end it
// fits in the smallest memory.
const firstRead = smallSpace - 1

// readBody reads the whole body of a request, within the limits. The bytes it
// takes count as held until release is called, which must be, also after an
// error.
func (x *exchange) readBody() ([]byte, *openai.Error) {
	_ = x.control.SetReadDeadline(x.started.Add(x.service.limits.bodyTime)) // a test's recorder has none
	if refused := checkType(x.r.Header); refused != nil {
		return nil, refused
	}
	limit := x.service.limits.body
	size := x.r.ContentLength
	if size > limit {
		return nil, x.tooLarge()
	}
	if size < 0 {
		size = firstRead
	}
	if !x.hold(size) {
		return nil, busy()
	}
	body := x.space(size + 1)
	for {
		n, err := x.r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			_ = x.control.SetReadDeadline(time.Time{})
			x.waited = time.Since(x.started)
			return body, nil
		case err != nil:
			return nil, x.badRead(err)
		case int64(len(body)) > limit:
			return nil, x.tooLarge()
		case len(body) < cap(body):
			continue
		}
		if !x.hold(int64(cap(body))) {
			return nil, busy()
		}
		body = x.moved(body)
	}
}

func (x *exchange) tooLarge() *openai.Error {
	x.w.Header().Set("Connection", "close") // the rest is not read
	return &openai.Error{
		Status: http.StatusRequestEntityTooLarge, Type: openai.InvalidRequest, Code: "request_too_large",
		Message: fmt.Sprintf("The body is larger than %d bytes, which is the limit.", x.service.limits.body),
	}
}

func (x *exchange) badRead(err error) *openai.Error {
	x.w.Header().Set("Connection", "close")
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &openai.Error{
			Status: http.StatusRequestTimeout, Type: openai.InvalidRequest, Code: "request_timeout", Retry: true,
			Message: fmt.Sprintf("The body did not arrive within %s.", x.service.limits.bodyTime),
		}
	}
	return &openai.Error{
		Status: http.StatusBadRequest, Type: openai.InvalidRequest, Code: "body_incomplete", Retry: true,
		Message: "The body could not be read to its end. Send it again.",
	}
}

func busy() *openai.Error {
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Type: openai.ServerError, Code: "gateway_busy", Retry: true, RetryAfter: retrySoon,
		Message: "Too many large requests are in progress. Try again in a few seconds.",
	}
}

// checkType refuses bodies that are not plain JSON.
func checkType(h http.Header) *openai.Error {
	unsupported := func(message string) *openai.Error {
		return &openai.Error{Status: http.StatusUnsupportedMediaType, Type: openai.InvalidRequest, Code: "unsupported_media_type", Message: message}
	}
	if coding := h.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return unsupported("The body is compressed (Content-Encoding: " + coding + "). Send it as it is.")
	}
	if text := h.Get("Content-Type"); text != "application/json" {
		if kind, params, err := mime.ParseMediaType(text); err != nil || kind != "application/json" || !isUTF8(params["charset"]) {
			return unsupported("The body must be JSON in UTF-8. Send `Content-Type: application/json`.")
		}
	}
	return nil
}

func isUTF8(charset string) bool {
	switch charset {
	case "", "utf-8", "UTF-8", "utf8":
		return true
	}
	return false
}
