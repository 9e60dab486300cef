// An Express service as somebody writes it: one transaction for each order.
const express = require('express');
const { Pool } = require('pg');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 5 });
pool.on('error', () => {}); // a connection that is lost while idle is replaced
const app = express();

app.get('/healthz', (_, response) => response.send('ok'));

app.get('/hold', () => {}); // never answered

app.post('/orders/:id', async (request, response) => {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('INSERT INTO express_orders (id) VALUES ($1)', [request.params.id]);
    await client.query('COMMIT');
    response.status(201).send('done');
  } catch (error) {
    response.status(500).send(String(error));
  } finally {
    client.release();
  }
});

app.listen(3000, '0.0.0.0', () => console.log('listening'));
