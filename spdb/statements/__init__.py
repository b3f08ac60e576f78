"""What is said to the database: functions of (connection, facts), each one step of one transaction. No clock in here."""
