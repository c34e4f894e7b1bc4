package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func trusted() *tls.Config {
	pem, err := os.ReadFile(os.Getenv("TLS_CA"))
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool}
}

// mechanism is a way of logging in as this user.
func mechanism(way, user, secret, token string) sasl.Mechanism {
	switch way {
	case "PLAIN":
		return plain.Auth{User: user, Pass: secret}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: secret}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: secret}.AsSha512Mechanism()
	default:
		return oauth.Auth{Token: token}.AsMechanism()
	}
}

func options(way string, right bool) []kgo.Opt {
	config := trusted()
	all := []kgo.Opt{kgo.DialTLSConfig(config), kgo.RequestRetries(1), kgo.RetryTimeout(10 * time.Second), kgo.RecordRetries(1), kgo.UnknownTopicRetries(2)}
	if way == "certificate" {
		certificate := stranger()
		if right {
			var err error
			if certificate, err = tls.LoadX509KeyPair(os.Getenv("TLS_CLIENT_CERT"), os.Getenv("TLS_CLIENT_KEY")); err != nil {
				panic(err)
			}
		}
		config.Certificates = []tls.Certificate{certificate}
		return all
	}
	secret, token := os.Getenv("ACL_SECRET"), os.Getenv("BEARER")
	if !right {
		secret, token = "wrong", token[:len(token)-8]+"AAAAAAAA"
	}
	return append(all, kgo.SASL(mechanism(way, os.Getenv("ACL_USER"), secret, token)))
}

// stranger is a certificate that signs for itself.
func stranger() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: os.Getenv("ACL_USER")}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func keptOut(ctx context.Context, way string) error {
	stranger, err := client(options(way, false)...)
	if err != nil {
		return err
	}
	defer stranger.Close()
	err = stranger.Ping(ctx)
	switch {
	case err == nil:
		return errors.New("let in")
	case way != "certificate" && !errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("refused for another reason: %w", err)
	}
	return nil
}

// secure runs every way of logging in. Failures slow down whoever fails, and all tests come from one address: those who
// are right come first.
func secure() {
	ways := []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "certificate"}
	for _, way := range ways {
		scenario("secure-franz-there-and-back-"+way, func(ctx context.Context) error {
			return thereAndBack(ctx, options(way, true)...)
		})
	}
	scenario("secure-franz-forbidden", func(ctx context.Context) error {
		limited := scram.Auth{User: os.Getenv("ACL_LIMITED_USER"), Pass: os.Getenv("ACL_LIMITED_SECRET")}.AsSha256Mechanism()
		producer, err := client(kgo.DialTLSConfig(trusted()), kgo.SASL(limited))
		if err != nil {
			return err
		}
		defer producer.Close()
		if err := producer.ProduceSync(ctx, records(unique())...).FirstErr(); err != nil {
			return err
		}
		if err := producer.ProduceSync(ctx, records("forbidden")...).FirstErr(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			return fmt.Errorf("forbidden: %v", err)
		}
		return nil
	})
	for _, way := range ways {
		scenario("secure-franz-kept-out-"+way, func(ctx context.Context) error { return keptOut(ctx, way) })
	}
}
