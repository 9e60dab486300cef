package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

type request struct {
	ID      int64  `json:"-"`
	Key     string `json:"-"`
	Shop    string `json:"shop"`
	OrderID int64  `json:"order_id"`
	Lines   []line `json:"lines"`
}

var provider = http.Client{Timeout: 5 * time.Second}

// relay sends what the handlers asked for, each request under its own key, until the provider says
// yes. One that dies in between asks again: the key makes that harmless.
func relay(ctx context.Context, pool *pgxpool.Pool) {
	for {
		sent, err := sendSome(ctx, pool)
		if err != nil {
			log.Print(err)
		}
		if sent == 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

func sendSome(ctx context.Context, pool *pgxpool.Pool) (int, error) {
	rows, err := pool.Query(ctx,
		`SELECT id, idempotency_key, shop, order_id, lines FROM fulfillment_requests
		 WHERE sent_at IS NULL ORDER BY id LIMIT 20`)
	if err != nil {
		return 0, err
	}
	waiting, err := pgx.CollectRows(rows, pgx.RowToStructByPos[request])
	if err != nil {
		return 0, err
	}
	for _, one := range waiting {
		if err := send(ctx, one); err != nil {
			return 0, err
		}
		_, err := pool.Exec(ctx, "UPDATE fulfillment_requests SET sent_at = now() WHERE id = $1", one.ID)
		if err != nil {
			return 0, err
		}
	}
	return len(waiting), nil
}

func send(ctx context.Context, one request) error {
	body, err := json.Marshal(one)
	if err != nil {
		return err
	}
	asked, err := http.NewRequestWithContext(ctx, "POST", os.Getenv("FULFILLMENT_URL"), bytes.NewReader(body))
	if err != nil {
		return err
	}
	asked.Header.Set("Content-Type", "application/json")
	asked.Header.Set("Idempotency-Key", one.Key)
	answer, err := provider.Do(asked)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return fmt.Errorf("the provider said %s", answer.Status)
	}
	return nil
}
