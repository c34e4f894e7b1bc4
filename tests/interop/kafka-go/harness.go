package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"time"
)

// No scenario takes longer.
const patience = 60 * time.Second

var passed, failed int

// scenario runs one, and prints one line for it.
func scenario(name string, body func(context.Context) error) {
	if only := os.Getenv("ONLY"); only != "" && !regexp.MustCompile(only).MatchString(name) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := body(ctx); err != nil {
		failed++
		fmt.Printf("FAIL %s %v\n", name, err)
		return
	}
	passed++
	fmt.Printf("ok %s\n", name)
}

// unique is a name no other scenario or run uses.
func unique() string {
	var noise [6]byte
	_, _ = rand.Read(noise[:])
	return "kafka-go-" + hex.EncodeToString(noise[:])
}

func expect(what string, got, want any) error {
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		return fmt.Errorf("%s: got %.300s, wanted %.300s", what, g, w)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
