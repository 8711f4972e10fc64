import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TimeZone;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.postgresql.PGConnection;

/** pgjdbc: half of the connections are by themselves, half come from a HikariCP. */
final class Main {
    private static final String OWN = "select ?::int, ?::int, marker from marker";
    private static final String INSERT = "insert into items values (?, ?, ?)";

    /** Each takes the number of the worker. */
    private static final List<Failure> FAILURES = List.of(
        new Failure("22012", "select ?::int / 0"),
        new Failure("42601", "selec ?"),
        new Failure("42P01", "select * from missing where a = ?"),
        new Failure("22P02", "select ('x' || ?::int)::int"),
        new Failure("23505", "insert into items select ?::int, 1, 'twice' from generate_series(1, 2)"));

    private final Connection[] connections = new Connection[Mixed.CONNECTIONS / 2];
    private final ScheduledExecutorService cancellers = Executors.newScheduledThreadPool(Mixed.CONNECTIONS);
    private final HikariDataSource pool;

    private record Failure(String state, String text) {}

    private interface Doing {
        void run() throws Exception;
    }

    private interface Using {
        void run(Mixed.Worker w, Connection c) throws Exception;
    }

    private Main() {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url());
        config.setDataSourceProperties(properties("s0"));
        pool = new HikariDataSource(config); // of ten, by default
    }

    private static String url() {
        return "jdbc:postgresql://%s:%s/%s".formatted(
            System.getenv("PGHOST"), System.getenv("PGPORT"), System.getenv("PGDATABASE"));
    }

    private static Properties properties(String schema) {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("currentSchema", schema + ",public");
        properties.setProperty("ApplicationName", "pgjdbc");
        return properties;
    }

    private void begin(Mixed.Worker w) throws SQLException {
        if (!w.isPooled)
            connections[w.number] = DriverManager.getConnection(url(), properties(w.schema));
    }

    private void end(Mixed.Worker w) throws SQLException {
        if (!w.isPooled)
            connections[w.number].close();
    }

    private Mixed.Operation using(Using body) {
        return w -> {
            if (!w.isPooled) {
                body.run(w, connections[w.number]);
                return;
            }
            try (Connection c = pool.getConnection()) {
                body.run(w, c);
            }
        };
    }

    private static void transaction(Connection c, Doing body) throws Exception {
        c.setAutoCommit(false);
        body.run();
        c.commit();
        c.setAutoCommit(true);
    }

    private static void refused(String state, Doing body) throws Exception {
        try {
            body.run();
        } catch (SQLException refusal) {
            if (!state.equals(refusal.getSQLState()))
                throw refusal;
            return;
        }
        throw new AssertionError("no error, " + state + " was expected");
    }

    private static PreparedStatement statement(Connection c, String text, Object... values) throws SQLException {
        PreparedStatement statement = c.prepareStatement(text);
        for (int i = 0; i < values.length; i++)
            statement.setObject(i + 1, values[i]);
        return statement;
    }

    private static void exec(Connection c, String text) throws SQLException {
        try (Statement statement = c.createStatement()) {
            statement.execute(text);
        }
    }

    private static int update(Connection c, String text, Object... values) throws SQLException {
        try (PreparedStatement statement = statement(c, text, values)) {
            return statement.executeUpdate();
        }
    }

    /** All values, row by row. */
    private static List<Object> values(ResultSet found) throws SQLException {
        List<Object> all = new ArrayList<>();
        while (found.next())
            for (int i = 1; i <= found.getMetaData().getColumnCount(); i++)
                all.add(found.getObject(i));
        return all;
    }

    private static List<Object> query(Connection c, String text, Object... values) throws SQLException {
        try (PreparedStatement statement = statement(c, text, values)) {
            return values(statement.executeQuery());
        }
    }

    private static void fail(Mixed.Worker w, Connection c, Failure failure) throws Exception {
        refused(failure.state, () -> {
            try (PreparedStatement statement = statement(c, failure.text, w.number)) {
                statement.execute();
            }
        });
    }

    private static void checkOwn(Mixed.Worker w, Connection c) throws SQLException {
        int sequence = w.next();
        Mixed.equal(query(c, OWN, w.number, sequence), List.of(w.number, sequence, w.schema));
    }

    private static List<Object> stored(Mixed.Worker w, Connection c, int sequence) throws SQLException {
        return query(c, "select body from items where connection = ? and sequence = ?", w.number, sequence);
    }

    private static void forget(Mixed.Worker w, Connection c, int n) throws SQLException {
        Mixed.equal(update(c, "delete from items where connection = ?", w.number), n);
    }

    private static void doTransaction(Mixed.Worker w, Connection c) throws Exception {
        int sequence = w.next();
        String body = "body " + sequence;
        transaction(c, () -> {
            Mixed.equal(update(c, INSERT, w.number, sequence, body), 1);
            Mixed.equal(stored(w, c, sequence), List.of(body));
        });
        Mixed.equal(stored(w, c, sequence), List.of(body));
        forget(w, c, 1);
    }

    private static void doRollback(Mixed.Worker w, Connection c) throws Exception {
        int sequence = w.next();
        c.setAutoCommit(false);
        Mixed.equal(update(c, INSERT, w.number, sequence, "body"), 1);
        c.rollback();
        c.setAutoCommit(true);
        Mixed.equal(stored(w, c, sequence), List.of());
    }

    private static void doError(Mixed.Worker w, Connection c) throws Exception {
        Failure failure = w.oneOf(FAILURES);
        fail(w, c, failure);
        checkOwn(w, c);
        c.setAutoCommit(false);
        Savepoint before = c.setSavepoint();
        fail(w, c, failure);
        refused("25P02", () -> exec(c, "select 1"));
        c.rollback(before);
        checkOwn(w, c);
        fail(w, c, failure);
        c.rollback();
        c.setAutoCommit(true);
        checkOwn(w, c);
    }

    /** A batch of one statement, one with an error in its middle, and a text of three. */
    private static void doBatch(Mixed.Worker w, Connection c) throws Exception {
        transaction(c, () -> {
            try (PreparedStatement batch = c.prepareStatement(INSERT)) {
                for (int i = 0; i < 20; i++)
                    addRow(w, batch, "batch");
                Mixed.equal(batch.executeBatch().length, 20);
            }
            forget(w, c, 20);
        });
        refused("22012", () -> {
            try (PreparedStatement batch = c.prepareStatement("insert into items select ?, ?, (1 / ?::int)::text")) {
                for (int i = 0; i < 20; i++)
                    addRow(w, batch, 10 - i);
                batch.executeBatch();
            }
        });
        update(c, "delete from items where connection = ?", w.number); // a batch need not be one transaction
        try (Statement three = c.createStatement()) {
            Mixed.equal(three.execute("select 1; select marker from marker; select 3"), true);
            Mixed.equal(values(three.getResultSet()), List.of(1));
            Mixed.equal(three.getMoreResults(), true);
            Mixed.equal(values(three.getResultSet()), List.of(w.schema));
            Mixed.equal(three.getMoreResults(), true);
            Mixed.equal(values(three.getResultSet()), List.of(3));
        }
    }

    private static void addRow(Mixed.Worker w, PreparedStatement batch, Object last) throws SQLException {
        batch.setInt(1, w.number);
        batch.setInt(2, w.next());
        batch.setObject(3, last);
        batch.addBatch();
    }

    /** Prepared with a name, and with binary results, from the fifth time on. */
    private static void doPrepared(Mixed.Worker w, Connection c) throws Exception {
        for (int i = 0; i < 3; i++) {
            int k = w.random.nextInt(100);
            try (PreparedStatement statement = c.prepareStatement("select ?::int + " + k + ", ?::int")) {
                for (int n = 1 + w.random.nextInt(10); n > 0; n--) {
                    int sequence = w.next();
                    statement.setInt(1, w.number);
                    statement.setInt(2, sequence);
                    Mixed.equal(values(statement.executeQuery()), List.of(w.number + k, sequence));
                }
            }
        }
    }

    private void doReconnect(Mixed.Worker w) throws SQLException {
        if (w.isPooled) {
            try (Connection c = pool.getConnection()) {
                pool.evictConnection(c);
            }
            return;
        }
        end(w);
        begin(w);
    }

    private static void checkSettings(Mixed.Worker w, Connection c, String zone, String name) throws SQLException {
        Mixed.equal(query(c, "select current_setting('TimeZone'), current_setting('application_name'), "
            + "current_setting('search_path')"), List.of(zone, name, w.schema + ",public"));
        Mixed.equal(c.unwrap(PGConnection.class).getParameterStatus("TimeZone"), zone);
    }

    private static void doSettings(Mixed.Worker w, Connection c) throws Exception {
        String zone = TimeZone.getDefault().getID(); // in the startup packet
        String otherZone = w.oneOf(List.of("Asia/Tokyo", "America/Lima", "Europe/Oslo"));
        String otherName = "worker " + w.number;
        checkSettings(w, c, zone, "pgjdbc");
        exec(c, "set time zone '" + otherZone + "'");
        c.setClientInfo("ApplicationName", otherName);
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        for (int i = 0; i < 3; i++) {
            checkSettings(w, c, otherZone, otherName);
            Mixed.equal(query(c, "select current_setting('transaction_isolation')"), List.of("serializable"));
        }
        c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        c.setAutoCommit(false);
        exec(c, "set application_name = 'undone'");
        exec(c, "set local time zone 'Asia/Kabul'");
        c.rollback();
        c.setAutoCommit(true);
        checkSettings(w, c, otherZone, otherName);
        Mixed.equal(query(c, "select current_setting('transaction_isolation')"), List.of("read committed"));
        exec(c, "reset time zone");
        c.setClientInfo("ApplicationName", "pgjdbc");
        checkSettings(w, c, zone, "pgjdbc");
    }

    private static void doLarge(Mixed.Worker w, Connection c) throws SQLException {
        String text = String.valueOf(w.random.nextInt(10)).repeat(1 << 20);
        Mixed.equal(query(c, "select ?::text", text), List.of(text));
    }

    private static void doCopy(Mixed.Worker w, Connection c) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 200; i++)
            lines.append(w.number).append('\t').append(w.next()).append("\tcopied\n");
        var copy = c.unwrap(PGConnection.class).getCopyAPI();
        transaction(c, () -> {
            Mixed.equal(copy.copyIn("copy items from stdin", new StringReader(lines.toString())), 200L);
            StringWriter out = new StringWriter();
            copy.copyOut("copy (select * from items where connection = %d order by sequence) to stdout"
                .formatted(w.number), out);
            Mixed.equal(out.toString(), lines.toString());
            forget(w, c, 200);
        });
    }

    private static void doCursor(Mixed.Worker w, Connection c) throws Exception {
        transaction(c, () -> {
            try (PreparedStatement statement = statement(c, "select i from generate_series(1, ?::int) i", 500)) {
                statement.setFetchSize(50);
                ResultSet found = statement.executeQuery();
                for (int i = 1; i <= 500; i++) {
                    Mixed.equal(found.next(), true);
                    Mixed.equal(found.getInt(1), i);
                }
                Mixed.equal(found.next(), false);
            }
        });
    }

    /** Whether a query was cancelled; the driver cancels once, which may be before it has begun. */
    private boolean isCancelled(Mixed.Worker w, Connection c) throws Exception {
        int delay = w.random.nextInt(20);
        try (Statement statement = c.createStatement()) {
            Future<Void> cancelling = cancellers.schedule(() -> {
                statement.cancel();
                return null;
            }, delay, TimeUnit.MILLISECONDS);
            try {
                statement.execute("select pg_sleep(1)");
                return false;
            } catch (SQLException refusal) {
                if (!"57014".equals(refusal.getSQLState()))
                    throw refusal;
                return true;
            } finally {
                cancelling.get();
            }
        }
    }

    private void doCancel(Mixed.Worker w, Connection c) throws Exception {
        while (!isCancelled(w, c))
            continue;
        checkOwn(w, c);
        c.setAutoCommit(false);
        exec(c, "set local statement_timeout = '5ms'");
        refused("57014", () -> exec(c, "select pg_sleep(30)"));
        c.rollback();
        c.setAutoCommit(true);
        checkOwn(w, c);
    }

    /** What the driver sets behind the startup packet is gone by this; it tells it again. */
    private static void doReset(Mixed.Worker w, Connection c) throws Exception {
        checkOwn(w, c);
        exec(c, "discard all");
        Mixed.equal(query(c, "select current_setting('application_name')"), List.of(""));
        c.setClientInfo("ApplicationName", "gone");
        c.setClientInfo("ApplicationName", "pgjdbc");
        Mixed.equal(c.isValid(5), true);
        exec(c, "deallocate all");
        checkOwn(w, c);
    }

    private Map<String, Mixed.Operation> operations() {
        Map<String, Mixed.Operation> operations = new LinkedHashMap<>();
        operations.put("select", using(Main::checkOwn));
        operations.put("transaction", using(Main::doTransaction));
        operations.put("rollback", using(Main::doRollback));
        operations.put("error", using(Main::doError));
        operations.put("batch", using(Main::doBatch));
        operations.put("prepared", using(Main::doPrepared));
        operations.put("reconnect", this::doReconnect);
        operations.put("settings", using(Main::doSettings));
        operations.put("large", using(Main::doLarge));
        operations.put("copy", using(Main::doCopy));
        operations.put("cursor", using(Main::doCursor));
        operations.put("cancel", using(this::doCancel));
        operations.put("reset", using(Main::doReset));
        return operations;
    }

    public static void main(String[] arguments) throws Exception {
        Main main = new Main();
        System.exit(new Mixed(main.operations()).run(main::begin, main::end));
    }
}
