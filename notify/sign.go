package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of a webhook, as the Standard Webhooks specification names them.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
	headerKey       = "Idempotency-Key"
)

// Tolerance is how far the clocks of sender and receiver may be apart. An older
// request is a replay.
const Tolerance = 5 * time.Minute

// sign is the value of webhook-signature: one signature for each key.
func sign(keys [][]byte, id string, at time.Time, body []byte) string {
	out := make([]string, len(keys))
	for i, key := range keys {
		out[i] = "v1," + base64.StdEncoding.EncodeToString(mac(key, id, strconv.FormatInt(at.Unix(), 10), body))
	}
	return strings.Join(out, " ")
}

func mac(key []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(h, "%s.%s.", id, timestamp)
	_, _ = h.Write(body)
	return h.Sum(nil)
}

// Verify checks, for a receiver, that a request was sent by whoever knows
// secret, within Tolerance of now. body is what was received, byte for byte.
func Verify(header http.Header, body []byte, secret Secret, now time.Time) error {
	all, err := keys(secret)
	if err != nil {
		return err
	}
	id, timestamp := header.Get(headerID), header.Get(headerTimestamp)
	if id == "" || timestamp == "" || header.Get(headerSignature) == "" {
		return fmt.Errorf("want the headers %s, %s and %s", headerID, headerTimestamp, headerSignature)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%s: want seconds since 1970, got %q", headerTimestamp, timestamp)
	}
	// Compared in seconds: a Duration would overflow.
	if apart := now.Unix() - seconds; apart > int64(Tolerance/time.Second) || apart < -int64(Tolerance/time.Second) {
		return fmt.Errorf("%s: want at most %v from now", headerTimestamp, Tolerance)
	}
	for signature := range strings.FieldsSeq(header.Get(headerSignature)) {
		text, ok := strings.CutPrefix(signature, "v1,")
		if !ok {
			continue
		}
		got, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		for _, key := range all {
			if hmac.Equal(got, mac(key, id, timestamp, body)) {
				return nil
			}
		}
	}
	return errors.New("no signature is right")
}
